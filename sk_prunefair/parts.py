"""Create a net's module, and list the parts of a net."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from sk_prunefair.data.schema import Schema
from sk_prunefair.nested import without_cache
from sk_prunefair.pruning import engine

if TYPE_CHECKING:
    from sk_prunefair.protocol import CoreNet


def make_module(
    net: CoreNet, given: Any, kwargs: dict[str, Any], create: Callable[..., Any]
) -> Any:
    """Create a module with the sizes of the data that its class takes.

    A user's instance is copied: it is not changed, and a second fit starts where the first
    did. A transformer's cache of keys and values is disabled, as classifiers do not use it.

    Parameters
    ----------
    net : CoreNet
        The net, with the schema of its data; it is not pruned afterwards.
    given : torch.nn.Module or class
        The user's module.
    kwargs : dict
        Its ``module__…`` parameters.
    create : callable
        skorch's function of these two that returns a module.
    """
    if isinstance(given, nn.Module):
        if not kwargs and net.initialized_ and not net.is_initializing_:
            # As another part was set, an instance keeps its trained weights, as in skorch.
            engine.restore_dense(net)
            return net.module_
        sizes = known_sizes(net, type(given)) if kwargs else {}
        module = create(copy.deepcopy(given), sizes | kwargs)
    else:
        module = create(given, known_sizes(net, given) | kwargs)
    net.pruned_ = None
    return without_cache(module) if isinstance(module, nn.Module) else module


def known_sizes(net: CoreNet, factory: Any) -> dict[str, Any]:
    """Return the known sizes of the data that a class takes.

    These are n_features and n_classes and, for an X of several arrays, n_<name> of each: the number
    of columns of floats, or one more than the largest integer, the size of an embedding.
    """
    schema = net.schema_ or Schema()
    sizes = schema.inputs.sizes if schema.inputs else {}
    known = {f"n_{name}": size for name, size in sizes.items()} | {
        "n_features": schema.inputs.n_inputs if schema.inputs else None,
        "n_classes": len(net.classes_) if hasattr(net, "classes_") else None,
    }
    asked = inspect.signature(factory).parameters
    return {name: size for name, size in known.items() if name in asked and size is not None}


def trained_parts(net: CoreNet) -> dict[str, Any]:
    """Return modules, criteria and optimizers by the names of their attributes."""
    names = [name + "_" for name in (*net._modules, *net._criteria, *net._optimizers)]
    return {name: vars(net)[name] for name in names if name in vars(net)}
