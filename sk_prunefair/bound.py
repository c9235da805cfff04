"""BoundNet: a net that is run by another function, with the same tensors and names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

Infer = Callable[[nn.Module, Any], Any]
"""Function of a module and the inputs of a batch that returns the module's output."""


class BoundNet(nn.Module):
    """A net whose forward pass is another function, such as a classifier's ``infer``.

    It shares the net's tensors and layers, under the same names.

    Parameters
    ----------
    module : torch.nn.Module
        The net.
    infer : callable
        Function of a module and X that returns an output; copies of this net share it.

    Examples
    --------
    >>> import torch
    >>> doubled = BoundNet(nn.Linear(1, 1), lambda module, X: 2 * module(X))
    >>> sorted(dict(doubled.named_parameters()))
    ['bias', 'weight']
    >>> bool(doubled(torch.ones(1, 1)) == 2 * doubled.net(torch.ones(1, 1)))
    True
    """

    net: nn.Module

    def __init__(self, module: nn.Module, infer: Infer) -> None:
        super().__init__()
        self.shared = _Shared(infer)
        self.__dict__["net"] = module  # not a submodule, which would change the parameter names
        for kind in ("_parameters", "_buffers", "_modules"):
            self.__dict__[kind] = module.__dict__[kind]
        self.training = module.training

    def forward(self, *args: Any, **fields: Any) -> Any:
        """Run the net on X: one argument, or the fields of a dict."""
        return self.shared.infer(self.net, args[0] if args else fields)

    def _get_name(self) -> str:
        # Tensors directly in the net are named by its class, as torch names a module by this.
        return self.net._get_name()

    def train(self, mode: bool = True) -> BoundNet:
        """Set the training mode of this module and of the net."""
        self.net.train(mode)
        return super().train(mode)


class _Shared:
    """Holder of a function that deepcopy does not copy."""

    def __init__(self, infer: Infer) -> None:
        self.infer = infer

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self
