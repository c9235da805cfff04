"""Fold batch norms into the preceding layer."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from sk_prunefair.export._sparse_copy import with_layers
from sk_prunefair.export._sparse_trace import Trace

# Layer type, norm type of its outputs, dimensions of its input.
_PAIRS: dict[type[nn.Module], tuple[type[nn.Module], int]] = {
    nn.Linear: (nn.BatchNorm1d, 2),
    nn.Conv1d: (nn.BatchNorm1d, 3),
    nn.Conv2d: (nn.BatchNorm2d, 4),
    nn.Conv3d: (nn.BatchNorm3d, 5),
}


def fold_norms(trace: Trace) -> tuple[nn.Module, int]:
    """Return a copy of a net with batch norms folded into the preceding layers.

    In evaluation a batch norm is y = γ (x − μ) / √(σ² + ε) + β with constants for each channel:
    these scale the rows of the preceding weight, and shift its bias. Zeros stay zeros. A norm is
    folded only if nothing else reads the output of the layer.

    Parameters
    ----------
    trace : Trace
        Trace of the net, which is not changed.

    Returns
    -------
    module : torch.nn.Module
        The net itself if there is nothing to fold.
    n_folded : int
        Number of folded norms.

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    >>> fold_norms(Trace(net, torch.ones(4, 2)))[0]
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Identity()
    )
    """
    new: dict[str, nn.Module] = {}
    for node in trace.graph.nodes:
        norm = trace.layer(node)
        if not isinstance(norm, _BatchNorm) or norm.running_mean is None:
            continue  # without running statistics its constants are those of each batch
        [source] = node.all_input_nodes
        layer, name = trace.layer(source), str(source.target)
        if layer is None or type(layer) not in _PAIRS or list(source.users) != [node]:
            continue
        if (type(norm), trace.ranks[name]) == _PAIRS[type(layer)]:
            fuse: Any = fuse_linear_bn_eval if type(layer) is nn.Linear else fuse_conv_bn_eval
            new[name] = fuse(layer, norm).requires_grad_(False)
            new[str(node.target)] = nn.Identity()
    return (with_layers(trace.module, new) if new else trace.module), len(new) // 2
