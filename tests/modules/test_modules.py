"""The nets that come with the library: published sizes, shapes, errors."""

import inspect
import pickle

import pytest
import torch
from torch import nn

from sk_prunefair.modules import MLP, VGG19, ResNet18, ResNet50

IMAGE_NETS = [ResNet18, ResNet50, VGG19]


def n_parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("net", "expected"),
    [(ResNet18, 11_689_512), (ResNet50, 25_557_032), (VGG19, 143_678_248)],
)
def test_image_nets_have_the_published_parameter_counts(net, expected):
    with torch.device("meta"):
        assert n_parameters(net(1000, small_images=False)) == expected


@pytest.mark.parametrize("net", IMAGE_NETS)
def test_image_nets_of_published_size_take_published_images(net):
    with torch.device("meta"):
        logits = net(1000, small_images=False).eval()(torch.empty(2, 3, 224, 224))
    assert logits.shape == (2, 1000)


@pytest.mark.parametrize("net", IMAGE_NETS)
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (28, 28), (32, 20)])
@pytest.mark.parametrize("small_images", [True, False])
def test_image_nets_any_image_size_gives_finite_logits(net, size, small_images):
    module = net(5, in_channels=2, width=4, small_images=small_images).eval()
    logits = module(torch.randn(3, 2, *size))
    assert logits.shape == (3, 5)
    assert torch.isfinite(logits).all()


def test_image_nets_width_scales_the_stages():
    channels = {module.out_channels for module in ResNet18(2, width=4).modules() if is_conv(module)}
    assert channels == {4, 8, 16, 32}
    channels = {module.out_channels for module in VGG19(2, width=4).modules() if is_conv(module)}
    assert channels == {4, 8, 16, 32}


def is_conv(module):
    return isinstance(module, nn.Conv2d)


def test_resnet_small_images_keep_their_size_in_the_stem():
    X = torch.zeros(1, 3, 32, 32)
    assert ResNet18(2, width=4).stem(X).shape == (1, 4, 32, 32)
    assert ResNet18(2, width=4, small_images=False).stem(X).shape == (1, 4, 8, 8)


def test_vgg_odd_sizes_are_rounded_up():
    net = VGG19(2, width=2).eval()
    assert net.features(torch.zeros(1, 3, 28, 28)).shape == (1, 16, 1, 1)
    assert net.features(torch.zeros(1, 3, 65, 64)).shape == (1, 16, 3, 2)


@pytest.mark.parametrize("shape", [(6,), (3, 2), (1, 2, 3)])
def test_mlp_inputs_of_any_shape_are_flattened(shape):
    X = torch.randn(4, *shape)
    net = MLP(6, 3, hidden=[5])
    assert net(X).shape == (4, 3)
    assert torch.equal(net(X), net(X.reshape(4, 6)))


def test_mlp_default_layers_by_hand():
    kinds = [type(layer) for layer in MLP(6, 3, activation=nn.Tanh).layers]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert n_parameters(MLP(6, 3)) == 7 * 128 + 129 * 64 + 65 * 3


def test_mlp_without_hidden_layers_is_linear():
    (layer,) = MLP(6, 3, hidden=()).layers
    assert (layer.in_features, layer.out_features) == (6, 3)


NETS = [
    lambda: MLP(12, 3),
    lambda: ResNet18(3, width=4),
    lambda: ResNet50(3, width=4),
    lambda: VGG19(3, width=4),
    lambda: VGG19(3, width=4, small_images=False),
]


@pytest.mark.parametrize("make_net", NETS)
def test_modules_same_seed_gives_the_same_weights(make_net):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([parameter.flatten() for parameter in make_net().parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("make_net", NETS)
def test_modules_gradients_reach_every_parameter(make_net):
    torch.manual_seed(0)
    net = make_net()
    shape = (12,) if isinstance(net, MLP) else (3, 32, 32)
    nn.functional.cross_entropy(net(torch.randn(8, *shape)), torch.arange(8) % 3).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # Batch norm takes away whatever bias the convolution before it adds.
        if not (isinstance(net, VGG19) and parameter.ndim == 1):
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("net", IMAGE_NETS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_classes": 1}, "n_classes must be an integer >= 2, got 1"),
        ({"n_classes": 2.0}, "n_classes must be an integer >= 2, got 2.0"),
        ({"n_classes": 2, "in_channels": 0}, "in_channels must be an integer >= 1, got 0"),
        ({"n_classes": 2, "width": 0}, "width must be an integer >= 1, got 0"),
        ({"n_classes": 2, "width": True}, "width must be an integer >= 1, got True"),
    ],
)
def test_image_nets_bad_sizes_raise(net, arguments, message):
    with pytest.raises(ValueError, match=message):
        net(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_features": 0}, "n_features must be an integer >= 1, got 0"),
        ({"n_classes": 1}, "n_classes must be an integer >= 2, got 1"),
        ({"hidden": (8, 0)}, "hidden must be an integer >= 1, got 0"),
        ({"hidden": 8}, "hidden must be a sequence of integers >= 1, got 8"),
    ],
)
def test_mlp_bad_sizes_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        MLP(**{"n_features": 4, "n_classes": 2, **arguments})


def test_modules_arguments_have_the_names_that_the_classifier_fills_in():
    assert list(inspect.signature(MLP).parameters)[:2] == ["n_features", "n_classes"]
    for net in IMAGE_NETS:
        names = list(inspect.signature(net).parameters)
        assert names == ["n_classes", "in_channels", "width", "small_images"]


def test_modules_names_in_older_pickles_are_found():
    for name in ("_Block", "MLP", "ResNet18", "ResNet50", "VGG19"):
        found = pickle.loads(f"csk_prunefair.modules\n{name}\n.".encode())
        assert issubclass(found, nn.Module)
