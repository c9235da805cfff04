"""Masks, removed channels and the rate of a pruned net in a file."""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from sk_prunefair.export._archive import Archive, write_part
from sk_prunefair.export._header import Header
from sk_prunefair.export._tensors import check_values, read_bits, read_tensors
from sk_prunefair.pruning.masks import Masks
from sk_prunefair.pruning.plan import ChannelPlan, Plan, WeightPlan
from sk_prunefair.pruning.pruned import Pruned
from sk_prunefair.pruning.shrink import Kept, expand_module, shrink_module

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet

_Shapes = Mapping[str, tuple[int, ...]]
# Effect of rounding on a layer's share of removed channels, which matters for few channels.
_CHANNEL_TOLERANCE = 0.05


@dataclass(frozen=True)
class Pruning:
    """The pruning of a net in a file; empty for a net that was not pruned.

    Parameters
    ----------
    masks : dict of str to torch.Tensor
        By parameter name, True where a weight is kept.
    kept : dict of str to tuple
        As `sk_prunefair.pruning.shrink_module` takes it, if channels were removed.
    rate : float
        The requested rate.
    """

    masks: Masks
    kept: Kept
    rate: float = 0.0

    def removed(self, dense: _Shapes) -> int:
        """Return the number of weights removed from a dense net of these shapes."""
        n_masked = sum(mask.numel() - int(mask.count_nonzero()) for mask in self.masks.values())
        n_cut = sum(
            int(np.prod(dense[name], dtype=np.int64))
            - int(np.prod([size - n_removed for size, n_removed in cuts], dtype=np.int64))
            for name, cuts in _cuts(self.kept, dense)
        )
        return n_masked + n_cut

    def agrees(self, dense: _Shapes) -> bool:
        """Tell whether the rate agrees with the removed weights, up to rounding."""
        if self.masks:
            n = sum(mask.numel() for mask in self.masks.values())
            # Rounding happens once for all weights, or once per tensor.
            return abs(self.removed(dense) - self.rate * n) <= 0.5 * len(self.masks) + 0.5
        outputs = [cuts[0] for _, cuts in _cuts(self.kept, dense) if cuts[0][1]]
        # A pruner may keep a fixed number of channels in each layer, at any rate.
        n_least = min((size - removed for size, removed in outputs), default=0)
        return all(
            abs(removed - self.rate * size) <= max(1.0, _CHANNEL_TOLERANCE * size)
            or (removed < self.rate * size and size - removed == n_least)
            for size, removed in outputs
        )


@dataclass(frozen=True)
class Contents:
    """All contents of a file, read and checked; tensors on the CPU.

    Parameters
    ----------
    header : Header
        Header of the file.
    tensors : dict of str to torch.Tensor
        State of the net.
    dense : dict of str to torch.Tensor or None
        State of the dense net, if the file has it.
    pruning : Pruning
        Masks, channels and rate.
    """

    header: Header
    tensors: dict[str, torch.Tensor]
    dense: dict[str, torch.Tensor] | None
    pruning: Pruning


def pruning_of(clf: CoreNet) -> tuple[Pruning, nn.Module | None]:
    """Return the pruning of a classifier for a file, and its dense net if it has two nets."""
    state = clf.pruned_
    if state is None or not (state.zeroed or state.kept):
        return Pruning({}, {}), None
    return Pruning(state.zeroed, state.kept or {}, float(state.rate)), state.dense


def write_kept(archive: zipfile.ZipFile, kept: Kept, dense: nn.Module) -> None:
    """Write which channels are kept, one bit for each of the dense net."""
    tensors = dense.state_dict()
    for name, dims in kept.items():
        for dim, index in enumerate(dims):
            if index is not None:
                bits = np.zeros(tensors[name].shape[dim], dtype=bool)
                bits[index.cpu().numpy()] = True
                write_part(archive, f"kept/{dim}/{name}", np.packbits(bits).tobytes())


def read_contents(archive: Archive, header: Header, template: nn.Module) -> Contents:
    """Read the contents of a file.

    Parameters
    ----------
    archive : Archive
        The file.
    header : Header
        Its header.
    template : torch.nn.Module
        A net of the architecture of the dense one; not changed, and its values are not used:
        it may be on the meta device.

    Raises
    ------
    ValueError
        If the file does not fit the template, is damaged, or does not match its header.
    """
    kept = read_kept(archive, header, template)
    module = shrink_module(template, kept) if kept else template
    stored = read_tensors(archive, header.tensors, module)
    tensors = {name: each.tensor for name, each in stored.items()}
    dense = None
    if header.dense is not None:
        found = read_tensors(archive, header.dense, template, "dense/")
        dense = {name: each.tensor for name, each in found.items()}
    for state in (tensors, dense or {}):
        is_bare = header.classes is None
        check_values(state, template, "the file is damaged", nan_in_buffers=is_bare)
    parameters = dict(template.named_parameters(remove_duplicate=False))
    for name in header.masks:
        if name not in parameters:
            raise ValueError(
                f"the file does not fit the target: {name!r} is not a parameter of the target"
            )
    masks = {name: stored[name].is_stored for name in header.masks}
    pruning = Pruning(masks, kept, header.rate)
    if header.classes is not None:
        _check_rate(pruning, header, shapes_of(template))
    return Contents(header, tensors, dense, pruning)


def make_module(template: nn.Module, contents: Contents) -> nn.Module:
    """Return the template with a file's values, or a smaller net if channels were removed."""
    kept = contents.pruning.kept
    module = shrink_module(template, kept) if kept else template
    module.load_state_dict(contents.tensors)
    return module


def make_state(template: nn.Module, contents: Contents) -> tuple[nn.Module, Pruned | None]:
    """Return a file's net and its pruning; the template is not changed."""
    dense, pruning = copy.deepcopy(template), contents.pruning
    module = make_module(copy.deepcopy(template), contents)
    if not contents.header.is_pruned:
        return module, None
    plan: Plan
    if pruning.kept:
        dense = expand_module(dense, module, pruning.kept)
        plan = ChannelPlan.of(dense, pruning.kept, pruning.rate)
    else:
        dense.load_state_dict(contents.tensors)
        device = next(dense.parameters()).device
        masks = {name: mask.to(device) for name, mask in pruning.masks.items()}
        plan = WeightPlan(masks, pruning.rate)
    if contents.dense is not None:
        dense.load_state_dict(contents.dense)
    return module, Pruned(dense, plan)


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a net's tensors."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def read_kept(archive: Archive, header: Header, dense: nn.Module) -> Kept:
    """Return the kept indices of the dense net's tensors; `shrink_module` checks them."""
    shapes, kept = shapes_of(dense), {}
    for name, dims in header.kept.items():
        if name not in shapes:
            raise ValueError(
                f"the file does not fit the target: it has {name!r}, which the target lacks"
            )
        indices: list[torch.Tensor | None] = [None] * len(shapes[name])
        for dim in dims:
            if dim >= len(indices):
                raise ValueError(
                    f"the file does not fit the target: {name!r} has no dimension {dim}"
                )
            bits = read_bits(archive, f"kept/{dim}/{name}", shapes[name][dim])
            indices[dim] = torch.from_numpy(np.flatnonzero(bits))
        kept[name] = tuple(indices)
    return kept


def _check_rate(pruning: Pruning, header: Header, dense: _Shapes) -> None:
    found = pruning.removed(dense)
    if header.removed is None and not pruning.agrees(dense):
        what = "masks" if pruning.masks else "removed channels"
        raise ValueError(
            f"the file is inconsistent: its rate is {header.rate}, but its {what} remove "
            f"{found} weights"
        )
    if header.removed not in (None, found):
        raise ValueError(
            f"the file is inconsistent: its header says that {header.removed} weights were "
            f"removed, but {found} are missing"
        )


def _cuts(kept: Kept, dense: _Shapes) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Yield the size of each dimension of a tensor and the number of removed indices."""
    for name, dims in kept.items():
        yield (
            name,
            [
                (size, 0 if index is None else size - len(index))
                for index, size in zip(dims, dense[name], strict=True)
            ],
        )
