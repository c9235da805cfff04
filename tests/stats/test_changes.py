"""Promises from changed answers: by hand, at their edges, and how often they err."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from sk_prunefair.stats.changes import (
    changes_p_value,
    changes_upper_bound,
    combined_p_value,
    combined_upper_bound,
)
from sk_prunefair.stats.paired import drop_p_value


def test_changes_p_value_is_the_binomial_tail():
    by_hand = sum(binom.pmf(k, 300, 0.02) for k in range(3))
    assert changes_p_value(300, 2, 0.02) == pytest.approx(by_hand)


@pytest.mark.parametrize(("n", "changed"), [(150, 0), (300, 4), (5, 5)])
def test_changes_upper_bound_is_where_the_p_value_reaches_the_level(n, changed):
    bound = changes_upper_bound(n, changed, 0.9)
    if changed == n:
        assert bound == 1
    else:
        assert changes_p_value(n, changed, bound) == pytest.approx(0.1)


def test_combined_p_value_few_changes_prove_without_what_labels_say():
    # 12 of 2,000 rows changed, and all that have a label are lost.
    p = combined_p_value((200, 2, 2, 0), (1800, 10), 0.02)
    assert p == pytest.approx((1 / 5 + 0.01) * 0.05)  # the least that it can be


def test_combined_p_value_unlabelled_rows_prove_what_the_labels_alone_do_not():
    assert drop_p_value(200, 3, 3, 0.02) > 0.05
    assert combined_p_value((200, 6, 3, 3), (5000, 105), 0.02) < 0.05


def test_combined_p_value_more_lost_is_larger():
    p = [combined_p_value((1000, 30, lost, 30 - lost), (9000, 260), 0.02) for lost in range(12, 31)]
    assert p == sorted(p)
    assert p[0] < 0.05 < p[-1]


@pytest.mark.parametrize(
    ("labelled", "unlabelled"),
    [
        ((100, 0, 0, 0), (100, 50)),  # no label says what a change does
        ((10, 10, 0, 10), (10, 10)),  # all changed
        ((100, 50, 50, 0), (900, 450)),  # all lost
    ],
)
def test_combined_p_value_without_any_proof_is_one(labelled, unlabelled):
    assert combined_p_value(labelled, unlabelled, 0.02) > 0.9


def test_combined_upper_bound_is_where_the_p_value_passes_the_level():
    given = (200, 6, 3, 3), (5000, 105)
    bound = combined_upper_bound(*given)
    assert combined_p_value(*given, bound) <= 0.05 < combined_p_value(*given, bound - 1e-4)


def test_combined_p_value_of_no_drop_at_all_needs_rows_that_were_won():
    assert combined_p_value((1000, 40, 5, 35), (1000, 40), 0.0) < 0.05
    assert combined_p_value((1000, 40, 20, 20), (1000, 40), 0.0) > 0.05


def rejections(n, more, share, drop, decisive, draws, max_drop=0.02, seed=0):
    """Return how often labels alone, and both, refute; each distinct draw is tested once."""
    rng, known, found = np.random.default_rng(seed), {}, []
    for _ in range(draws):
        seen, rest = rng.binomial(n, share), rng.binomial(more, share)
        loss = drop / share
        parts = [(decisive + loss) / 2, (decisive - loss) / 2, 1 - decisive]
        lost, won, _ = rng.multinomial(seen, parts)
        key = (seen, lost, won, rest)
        if key not in known:
            known[key] = (
                drop_p_value(n, lost, won, max_drop) <= 0.05,
                combined_p_value((n, seen, lost, won), (more, rest), max_drop) <= 0.05,
            )
        found.append(known[key])
    return np.mean(found, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0201, 0.03, 0.1])
def test_combined_p_value_on_the_edge_is_small_as_often_as_it_may_be(share):
    draws = 250
    found = rejections(150, 2000, share, 0.02, max(0.9, min(1.0, 0.02 / share)), draws)[1]
    assert found * draws <= binom.isf(1e-3, draws, 0.05)


def test_combined_p_value_has_the_power_that_few_labels_lack():
    # 2.2 % change and do no harm, which 140 labels seldom tell.
    by_labels, by_both = rejections(140, 20_000, 0.022, 0.0, 0.8, 120)
    assert by_both > by_labels + 0.05
