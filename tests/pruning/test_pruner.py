"""Pruners as parameter objects, and what the net asks of them."""

from __future__ import annotations

import pickle

import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from sk_prunefair.pruning import (
    ChannelPruner,
    FairGrapePruner,
    FairPrunePruner,
    MagnitudePruner,
    PruningData,
    RandomPruner,
    ScorePruner,
    SnipPruner,
    TaylorPruner,
    get_pruner,
)
from sk_prunefair.pruning.pruner import PRUNERS, as_planner
from tests.conftest import classifier

KINDS = (
    ChannelPruner,
    FairGrapePruner,
    FairPrunePruner,
    MagnitudePruner,
    RandomPruner,
    SnipPruner,
    TaylorPruner,
)


@pytest.mark.parametrize("kind", KINDS)
def test_pruner_has_parameters_a_clone_and_a_repr(kind):
    pruner = kind(exclude=["head"])
    assert pruner.get_params()["exclude"] == ["head"]
    for other in (clone(pruner), pickle.loads(pickle.dumps(pruner))):
        assert other.get_params() == pruner.get_params()
    assert repr(pruner) == f"{kind.__name__}(exclude=['head'])"


@pytest.mark.parametrize("name", PRUNERS)
def test_get_pruner_hands_options_on_by_name(name):
    assert get_pruner(name, exclude=["head"]).exclude == ["head"]
    with pytest.raises(ValueError, match=rf"pruner='{name}' does not take .*colour"):
        get_pruner(name, colour="red")


def test_get_pruner_leaves_a_given_object_as_it_is():
    given = MagnitudePruner(min_kept=0.1)
    assert get_pruner(given) is given
    other = get_pruner(given, min_kept=0.2)
    assert (given.min_kept, other.min_kept) == (0.1, 0.2)
    with pytest.raises(ValueError, match="colour"):
        get_pruner(given, colour="red")
    assert isinstance(get_pruner(RandomPruner), RandomPruner)
    assert isinstance(get_pruner(lambda module: {}, scope="layer"), ScorePruner)


class Own:
    """A user's pruner with nothing but masks."""

    def masks(self, module, rate):
        return {"weight": torch.tensor([[True, False]])}


def test_as_planner_wraps_a_user_object_with_masks():
    net = nn.Linear(2, 1)
    planner = as_planner(get_pruner(Own()))
    needs = (planner.needs_data, planner.needs_example, planner.needs_initial)
    assert needs == (False, False, False)
    plan = planner.plan(net, 0.5, None)
    pruned = plan.apply(net)
    assert pruned.weight[0, 1] == 0
    assert net.weight[0, 1] != 0
    with torch.no_grad():
        pruned.weight.add_(1)
    plan.enforce(pruned)
    assert pruned.weight[0, 1] == 0
    assert plan.expand(net, pruned) is pruned


def test_pruner_option_in_a_grid_search_is_found(digits):
    X, y, group = digits
    clf = classifier(prune_rate=0.9, max_epochs=2, pruner=MagnitudePruner())
    search = GridSearchCV(clf, {"pruner__min_kept": [0.0, 0.05]}, cv=2)
    search.fit(X, y, sensitive_features=group)
    assert search.best_estimator_.get_params()["pruner__min_kept"] in (0.0, 0.05)
    kept = [
        clone(clf).set_params(pruner__min_kept=share).fit(X, y).masks_.values()
        for share in (0.0, 0.09)
    ]
    least = [min(float(mask.float().mean()) for mask in masks) for masks in kept]
    assert least[1] >= 0.09 > least[0]


def test_pruner_options_of_a_fitted_net_hold_for_the_next_prune(fitted):
    fitted.set_params(pruner__exclude=["layers.0"]).prune(0.5)
    assert "layers.0.weight" not in fitted.masks_
    with pytest.raises(ValueError, match="colour"):
        fitted.set_params(pruner__colour="red").prune(0.9)
    assert fitted.prune_rate_ == 0.5


@pytest.mark.parametrize("given", ["nothing", 3, None, int, nn.Linear(2, 1).weight])
def test_get_pruner_of_anything_else_raises(given):
    with pytest.raises(ValueError, match=r"pruner must be one of \['channel_magnitude', "):
        get_pruner(given)


@pytest.mark.parametrize(
    ("name", "needs"),
    {
        "magnitude": (False, False, False),
        "random": (False, False, False),
        "taylor": (True, False, False),
        "fairgrape": (True, False, False),
        "fairprune": (True, False, False),
        "snip": (True, False, True),
        "channel_magnitude": (False, True, False),
        "channel_taylor": (True, True, False),
    }.items(),
)
def test_as_planner_needs_labels_a_sample_or_the_initial_net(name, needs):
    planner = as_planner(get_pruner(name))
    assert (planner.needs_data, planner.needs_example, planner.needs_initial) == needs


def test_as_planner_of_channels_plans_what_the_pruner_keeps():
    pytest.importorskip("torch_pruning")
    net = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    data = PruningData([(torch.zeros(1, 1), None, None)])
    plan = as_planner(ChannelPruner()).plan(net, 0.5, data)
    kept = ChannelPruner().kept(net, 0.5, data)
    assert plan.rate == 0.5
    assert plan.kept.keys() == kept.keys()
    assert torch.equal(plan.kept["0.bias"][0], kept["0.bias"][0])
    assert int(plan.masks["0.bias"].sum()) == 2
