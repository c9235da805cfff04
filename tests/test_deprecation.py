"""Tests of the decorators for what is going away."""

from __future__ import annotations

import pytest

from sk_prunefair.deprecation import deprecated, renamed_parameter


@deprecated(since="0.3", removed="0.5", instead="new")
def old(x, *, y=2):
    """Add two numbers.

    More of it.
    """
    return x + y


@renamed_parameter("share", "rate", since="0.3", removed="0.5")
def prune(net, rate=0.5):
    return net, rate


def test_deprecated_function_warns_at_the_callers_line_and_works():
    with pytest.warns(
        FutureWarning, match=r"old is deprecated since 0.3 .* 0.5: use new"
    ) as caught:
        assert old(1, y=3) == 4
    assert caught[0].filename == __file__
    assert old.__doc__.startswith("Add two numbers.\n\n    .. deprecated:: 0.3\n")
    assert "More of it." in old.__doc__
    assert old.__name__ == "old"


def test_renamed_parameter_old_name_warns_and_is_passed_on():
    with pytest.warns(FutureWarning, match=r"prune: share is deprecated .* use rate"):
        assert prune("net", share=0.9) == ("net", 0.9)
    assert prune("net", rate=0.9) == ("net", 0.9)
    assert prune("net") == ("net", 0.5)


def test_renamed_parameter_both_names_are_refused():
    with pytest.raises(TypeError, match="both share and rate"):
        prune("net", share=0.9, rate=0.8)
