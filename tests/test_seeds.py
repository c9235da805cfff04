"""Draws under threads are those of a thread alone."""

from __future__ import annotations

import threading

import torch

from sk_prunefair.seeds import seeded


def test_seeded_threads_without_a_seed_leave_the_draws_of_others_alone():
    with seeded(3, 1):
        alone = torch.rand(4)
    entered, drawn = threading.Event(), threading.Event()

    def unseeded():
        entered.wait(5)
        with seeded(None, 1):
            torch.rand(3)
        drawn.set()

    thread = threading.Thread(target=unseeded)
    thread.start()
    with seeded(3, 1):
        first = torch.rand(2)
        entered.set()
        assert not drawn.wait(0.2)  # its turn comes after this one
        rest = torch.rand(2)
    thread.join(5)
    assert drawn.is_set()
    assert torch.equal(torch.cat([first, rest]), alone)


def test_seeded_without_a_seed_draws_from_the_generator_as_it_is():
    state = torch.get_rng_state()
    expected = torch.rand(2)
    torch.set_rng_state(state)
    with seeded(None, 5), seeded(None, 6):
        assert torch.equal(torch.rand(2), expected)
    assert not torch.equal(torch.get_rng_state(), state)
