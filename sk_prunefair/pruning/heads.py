"""Attention heads: the layers that hold them, by a table of known layouts."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from torch import nn

from sk_prunefair.pruning._resize import is_conv1d


@dataclass(frozen=True)
class Layout:
    """Paths to the layers of an attention, relative to the module that contains them.

    Parameters
    ----------
    inputs : tuple of str
        The query, key and value layers, or the single layer that computes all three.
    output : str
        The layer after the heads.
    states : str, default=""
        The module with the size of a head, see `HEAD_SIZES`; by default the containing one.

    Examples
    --------
    >>> Layout(("qkv",), "proj").output
    'proj'
    """

    inputs: tuple[str, ...]
    output: str
    states: str = ""


LAYOUTS = (
    Layout(("self.query", "self.key", "self.value"), "output.dense", "self"),  # BERT, RoBERTa
    Layout(("attention.query", "attention.key", "attention.value"), "output.dense", "attention"),
    # DeBERTa
    Layout(("self.query_proj", "self.key_proj", "self.value_proj"), "output.dense", "self"),
    Layout(("query", "key", "value"), "dense"),  # ALBERT
    Layout(("q_lin", "k_lin", "v_lin"), "out_lin"),  # DistilBERT
    Layout(("q_proj", "k_proj", "v_proj"), "o_proj"),  # ViT, Llama
    Layout(("q_proj", "k_proj", "v_proj"), "out_proj"),  # BART, CLIP, OPT
    Layout(("c_attn",), "c_proj"),  # GPT-2
    Layout(("Wqkv",), "Wo"),  # ModernBERT
)
"""Attributes that hold the number of heads; add those of other nets to prune their heads."""

HEAD_SIZES = ("attention_head_size", "head_dim")
HEAD_COUNTS = ("num_attention_heads", "num_heads", "n_heads", "num_key_value_heads")
WIDTHS = ("all_head_size", "split_size", "embed_dim", "dim")
"""Attribute names for the size of a head, the number of heads, and the size of all heads."""


@dataclass(frozen=True)
class Attention:
    """The layers of one attention of a net.

    Parameters
    ----------
    inputs : tuple of str
        Names of the query, key and value layers.
    output : str
        Name of the layer after the heads.
    states : str
        Name of the module with the size of a head.
    head_size : int
        Number of channels of a head; 0 if the heads are in another order than in the layouts, or
        share keys and values.
    n_heads : int
        Number of heads; 0 if the size is 0.

    Examples
    --------
    >>> Attention(("q", "k", "v"), "out", "", head_size=8, n_heads=4).n_heads
    4
    """

    inputs: tuple[str, ...]
    output: str
    states: str
    head_size: int
    n_heads: int


def attentions(net: nn.Module) -> list[Attention]:
    """Return the attentions of a net that have one of `LAYOUTS`.

    Parameters
    ----------
    net : torch.nn.Module
        Any net; it is not run.

    Returns
    -------
    list of Attention
        In the order of the net's modules.

    Examples
    --------
    >>> net = nn.ModuleDict({name: nn.Linear(6, 6) for name in ("q_lin", "k_lin", "v_lin")})
    >>> net["out_lin"], net.attention_head_size = nn.Linear(6, 6), 2
    >>> attentions(nn.Sequential(net))
    [Attention(inputs=('0.q_lin', '0.k_lin', '0.v_lin'), output='0.out_lin', states='0',
    head_size=2, n_heads=3)]
    """
    layers = dict(net.named_modules(remove_duplicate=False))
    found = []
    for owner in dict(net.named_modules()):
        for layout in LAYOUTS:
            paths = (*layout.inputs, layout.output, layout.states)
            *inputs, output, states = [".".join(filter(None, (owner, path))) for path in paths]
            if all(_is_projection(layers.get(name)) for name in (*inputs, output)):
                size, count = _heads(layers[states], [layers[name] for name in (*inputs, output)])
                found.append(Attention(tuple(inputs), output, states, size, count))
                break
    return found


def has_attention(net: nn.Module) -> bool:
    """Tell whether a module of the net has an attribute for the number of heads, or their size.

    Parameters
    ----------
    net : torch.nn.Module
        Any net; it is not run.

    Examples
    --------
    >>> has_attention(nn.TransformerEncoderLayer(4, 2)), has_attention(nn.Linear(4, 2))
    (True, False)
    """
    return any(_first(vars(layer), HEAD_SIZES + HEAD_COUNTS) for layer in net.modules())


def resize_heads(net: nn.Module, cut: Container[str]) -> None:
    """Set the head attributes of attentions to the shapes of their tensors, in place.

    Parameters
    ----------
    net : torch.nn.Module
        A net whose heads were removed.
    cut : container of str
        Names of the resized tensors; attentions without any of these are not changed.

    Raises
    ------
    ValueError
        If the remaining channels of an attention are not a whole number of heads.

    Examples
    --------
    >>> net = nn.ModuleDict({name: nn.Linear(6, 4) for name in ("q_lin", "k_lin", "v_lin")})
    >>> net["out_lin"], net.attention_head_size, net.n_heads = nn.Linear(4, 6), 2, 3
    >>> resize_heads(net, {"out_lin.weight"})
    >>> net.n_heads
    2
    """
    for attention in attentions(net):
        if f"{attention.output}.weight" not in cut:
            continue
        stated = vars(net.get_submodule(attention.states))
        size = _first(stated, HEAD_SIZES)
        width, _ = in_and_out(net.get_submodule(attention.output))
        if size and width % size:
            raise ValueError(
                f"kept leaves {width} inputs of {attention.output!r}, which is not a multiple of "
                f"the head size {size}"
            )
        count = _first(stated, HEAD_COUNTS)
        if size and count:
            old = dict.fromkeys(HEAD_COUNTS, count) | dict.fromkeys(WIDTHS, count * size)
            new = dict.fromkeys(HEAD_COUNTS, width // size) | dict.fromkeys(WIDTHS, width)
            stated.update({name: new[name] for name in old if stated.get(name) == old[name]})


def in_and_out(layer: Any) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of a linear layer or a ``Conv1D``.

    Parameters
    ----------
    layer : torch.nn.Module
        One of these layers; its tensor is used.

    Examples
    --------
    >>> in_and_out(nn.Linear(2, 3))
    (2, 3)
    """
    first, second = layer.weight.shape
    return (first, second) if is_conv1d(layer) else (second, first)


def _is_projection(layer: nn.Module | None) -> bool:
    return isinstance(layer, nn.Linear) or is_conv1d(layer)


def _heads(states: nn.Module, projections: list[nn.Module]) -> tuple[int, int]:
    """Return size and number of the heads, zeros if inputs and output do not agree on them."""
    *inputs, output = projections
    width, _ = in_and_out(output)
    size, count = (_first(vars(states), names) for names in (HEAD_SIZES, HEAD_COUNTS))
    each = 3 * width // len(inputs)
    if not size or width % size or any(in_and_out(layer)[1] != each for layer in inputs):
        return 0, 0
    return (size, width // size) if count in (0, width // size) else (0, 0)


def _first(stated: dict[str, Any], names: tuple[str, ...]) -> int:
    """Return the first of these attributes that is a positive integer, else 0."""
    values = (stated.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and value > 0), 0)
