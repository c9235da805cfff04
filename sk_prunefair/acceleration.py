"""Ways to run a net's modules: compiled, in half precision, or as written."""

from __future__ import annotations

import inspect
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sk_prunefair.losses import full_precision, plain_criterion, takes_probabilities
from sk_prunefair.nested import map_tensors, run

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet

# The dense net, the pruned one, and a teacher.
MOST = 3

# Channel pruning gives nets of other shapes, each of which uses up one of a class's recompilations.
_ALONE = {"isolate_recompiles": True}
_ALONE = _ALONE if _ALONE.keys() <= inspect.signature(torch.compile).parameters.keys() else {}


class CompiledModules:
    """Cache of the modules that `torch.compile` returned; the modules themselves are not changed.

    State dicts, masks, files and derivatives use the plain module; the compiled one shares its
    tensors with it. Copies of this cache, pickled ones too, are empty.

    Examples
    --------
    >>> net, compiled = nn.Linear(2, 1), CompiledModules()
    >>> fast = compiled.find(net, {"backend": "eager"})
    >>> fast is compiled.find(net, {"backend": "eager"}), fast.weight is net.weight
    (True, True)
    """

    def __init__(self) -> None:
        self.known: list[tuple[nn.Module, dict[str, Any], Any]] = []

    def add(self, module: nn.Module, options: dict[str, Any], compiled: Any) -> None:
        """Add a compiled module, and drop the oldest entry of a full cache."""
        self.known = [(module, options, compiled), *self.known][:MOST]

    def find(self, module: nn.Module, options: dict[str, Any]) -> Any:
        """Return a module compiled with these options of `torch.compile`, cached if possible."""
        for other, given, compiled in self.known:
            if other is module and given == options:
                return compiled
        compiled = torch.compile(module, **(_ALONE | options))
        self.add(module, options, compiled)
        return compiled

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledModules:
        return CompiledModules()

    def __reduce__(self) -> Any:
        return CompiledModules, ()


def run_module(net: CoreNet, X: Any, **params: Any) -> Any:
    """Return the output of a net's module for a batch, under ``compile`` and ``autocast``.

    Where a penalty needs derivatives, the module is not compiled: a compiled module can
    be differentiated only once.

    Parameters
    ----------
    net : CoreNet
        The net.
    X : torch.Tensor, mapping, tuple or list
        Inputs, on the net's device.
    **params : dict
        For the module's ``forward``.

    Returns
    -------
    object
        The output; half precision from autocast is cast to single precision.

    Raises
    ------
    ValueError
        If ``autocast`` is not accepted, or is given to a net of probabilities.
    """
    module: Any = net.module_
    is_twice = net.objective_ is not None and net.objective_.takes_derivatives
    if net.compile and not is_twice:
        module = net.compiled_.find(module, net.get_params_for("compile"))
    dtype = autocast_dtype(net.autocast)
    if dtype is None:
        return run(module, X, **params)
    if takes_probabilities(getattr(net, "criterion_", None)):
        raise ValueError(
            f"autocast={net.autocast!r} needs a module that returns logits and a criterion that "
            "takes logits, such as torch.nn.CrossEntropyLoss; got criterion=NLLLoss, which takes "
            "probabilities: bfloat16 keeps only three digits of them"
        )
    with torch.autocast(_device_type(net), dtype):
        output = run(module, X, **params)
    return _single(output)


def autocast_dtype(autocast: Any) -> torch.dtype | None:
    """Return the dtype of the parameter ``autocast``.

    Parameters
    ----------
    autocast : {"bfloat16", None} or torch.bfloat16
        float16 is not accepted, as its gradients underflow unless the loss is scaled.

    Raises
    ------
    ValueError
        If it is anything else.

    Examples
    --------
    >>> autocast_dtype("bfloat16")
    torch.bfloat16
    """
    if autocast is None:
        return None
    if autocast is torch.bfloat16 or (isinstance(autocast, str) and autocast == "bfloat16"):
        return torch.bfloat16
    raise ValueError(f"autocast must be None, 'bfloat16' or torch.bfloat16, got {autocast!r}")


def compile_parts(net: Any) -> None:
    """Compile modules and criteria of an initialized net according to its current parameters."""
    for name in (*net._modules, *net._criteria):
        part = plain_criterion(vars(net)[name + "_"])
        if isinstance(part, nn.Module):
            setattr(net, name + "_", net.torch_compile(part, name=name))


def _device_type(net: CoreNet) -> str:
    if net.device is not None:
        return torch.device(net.device).type
    return next((tensor.device.type for tensor in net.module_.parameters()), "cpu")


def _single(output: Any) -> Any:
    if isinstance(output, MutableMapping):  # transformers: keys are attributes, too
        for name in list(output):
            output[name] = _single(output[name])
        return output
    return map_tensors(full_precision, output)
