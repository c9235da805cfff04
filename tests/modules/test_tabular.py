"""TabularNet: against linear layers over one-hot codes, and a forward pass by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sk_prunefair.modules import TabularNet
from sk_prunefair.pruning.masks import keep_largest, prunable_parameters

SIZES = {"n_numbers": 3, "n_categories": 9, "n_classes": 4, "width": 8}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return TabularNet(**SIZES).eval()


@pytest.fixture
def rows():
    torch.manual_seed(1)
    # Three columns, of 4, 3 and 2 categories.
    columns = [torch.randint(0, 4, (6,)), torch.randint(4, 7, (6,)), torch.randint(7, 9, (6,))]
    return {"numbers": torch.randn(6, 3), "categories": torch.stack(columns, dim=1)}


def test_tabular_net_category_weights_are_a_linear_layer_over_one_hot_codes(net, rows):
    one_hot = F.one_hot(rows["categories"], 9).sum(dim=1).float()
    assert one_hot.sum(dim=1).tolist() == [3.0] * 6
    linear = nn.Linear(9, 8, bias=False)
    linear.weight = nn.Parameter(net.categories.weight.detach().T)
    given = []
    net.blocks.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    net(**rows)
    expected = net.numbers(rows["numbers"]) + linear(one_hot) / math.sqrt(3)
    torch.testing.assert_close(given[0], expected)


def test_tabular_net_forward_by_hand(net, rows):
    x = rows["numbers"] @ net.numbers.weight.T + net.numbers.bias
    for sample, indices in enumerate(rows["categories"].tolist()):
        x[sample] += sum(net.categories.weight[index] for index in indices) / 3**0.5
    for _, first, _, _, second in (block.branch for block in net.blocks):
        # Norms begin as plain normalisation.
        hidden = torch.relu(normalised(x) @ first.weight.T + first.bias)
        x = x + hidden @ second.weight.T + second.bias
    head = net.head[-1]
    torch.testing.assert_close(
        net(**rows), torch.relu(normalised(x)) @ head.weight.T + head.bias, atol=1e-5, rtol=1e-4
    )


def normalised(x):
    centred = x - x.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()


def test_tabular_net_columns_in_any_order_give_the_same(net, rows):
    shuffled = rows | {"categories": rows["categories"][:, [2, 0, 1]]}
    torch.testing.assert_close(net(**shuffled), net(**rows))


def test_tabular_net_row_alone_gives_the_same(net, rows):
    alone = [net(*(values[[row]] for values in rows.values())) for row in range(6)]
    torch.testing.assert_close(torch.cat(alone), net(**rows))


def test_tabular_net_either_input_may_be_absent(rows):
    of_numbers, of_categories = TabularNet(n_numbers=3), TabularNet(n_categories=9)
    assert of_numbers(numbers=rows["numbers"]).shape == (6, 2)
    assert of_categories(categories=rows["categories"]).shape == (6, 2)
    assert not [name for name, _ in of_numbers.named_parameters() if "categories" in name]
    assert not [name for name, _ in of_categories.named_parameters() if "numbers" in name]
    # No columns are as good as no array.
    torch.testing.assert_close(
        of_numbers(rows["numbers"], rows["categories"][:, :0]), of_numbers(rows["numbers"])
    )


def test_tabular_net_depth_counts_blocks_of_two_layers():
    def n_linear(depth):
        net = TabularNet(**SIZES, depth=depth)
        return sum(isinstance(module, nn.Linear) for module in net.modules())

    assert [n_linear(depth) for depth in (0, 1, 3)] == [2, 4, 8]


def test_tabular_net_dropout_is_in_the_blocks_alone(rows):
    torch.manual_seed(0)
    net = TabularNet(**SIZES, dropout=1.0)
    # All hidden units are left out: of a branch, only the bias of its last layer is left.
    x = torch.randn(5, 8)
    expected = x + sum(block.branch[-1].bias for block in net.blocks)
    torch.testing.assert_close(net.blocks(x), expected)
    assert not torch.allclose(net(**rows), net.eval()(**rows))


def test_tabular_net_seed_sets_the_weights_and_gradients_reach_them_all(rows):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        net = TabularNet(**SIZES)
        states.append(torch.cat([parameter.flatten() for parameter in net.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    F.cross_entropy(net(**rows), torch.arange(6) % 4).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    seen = torch.zeros(9, dtype=torch.bool)
    seen[rows["categories"].unique()] = True
    assert torch.equal(net.categories.weight.grad.abs().sum(dim=1) > 0, seen)


def test_tabular_net_pruned_by_magnitude_when_new_empties_no_layer():
    torch.manual_seed(0)
    weights = prunable_parameters(TabularNet(6, 110))
    assert "categories.weight" in weights
    masks = keep_largest({name: weight.abs() for name, weight in weights.items()}, 0.9)
    assert min(float(mask.float().mean()) for mask in masks.values()) > 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_numbers": -1}, "n_numbers must be an integer >= 0, got -1"),
        ({"n_categories": 2.0}, "n_categories must be an integer >= 0, got 2.0"),
        ({"n_numbers": 0, "n_categories": 0}, "n_numbers or n_categories must be >= 1, got 0 for"),
        ({"n_classes": 1}, "n_classes must be an integer >= 2, got 1"),
        ({"width": 1}, "width must be an integer >= 2, got 1"),
        ({"depth": -1}, "depth must be an integer >= 0, got -1"),
        ({"dropout": 1.5}, "dropout must be a finite number >= 0 and <= 1, got 1.5"),
    ],
)
def test_tabular_net_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TabularNet(**SIZES | arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numbers": None}, "numbers must have n_numbers=3 columns, got 0"),
        ({"numbers": torch.zeros(6, 2)}, "numbers must have n_numbers=3 columns, got 2"),
        ({"categories": None}, "at least one column where n_categories=9, got 0"),
        (
            {"categories": torch.full((6, 3), 9)},
            "below n_categories=9 and not negative, got 9 to 9",
        ),
        ({"categories": torch.full((6, 3), -1)}, "not negative, got -1 to -1"),
    ],
)
def test_tabular_net_bad_inputs_are_refused(net, rows, changes, message):
    with pytest.raises(ValueError, match=message):
        net(**rows | changes)


def test_tabular_net_categories_where_there_are_none_are_refused(rows):
    with pytest.raises(ValueError, match="no columns where n_categories=0, got 3"):
        TabularNet(n_numbers=3)(**rows)
