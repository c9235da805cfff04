"""How a net's module is made, and of what parts a net consists."""

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
    """Create a module, telling its class the sizes of the data that it asks for.

    An instance of the user's is copied: it stays as it is, and a second fit starts where the first
    did. A transformer's cache of keys and values is switched off, which a classifier cannot use.

    Parameters
    ----------
    net : CoreNet
        Knows what there is of data; not pruned afterwards.
    given : torch.nn.Module or class
        As the user gave it.
    kwargs : dict
        Its ``module__…`` parameters.
    create : callable
        skorch's way from these two to a module.
    """
    if isinstance(given, nn.Module):
        if not kwargs and net.initialized_ and not net.is_initializing_:
            # Another part was set anew: as in skorch, an instance stays as it was trained.
            engine.restore_dense(net)
            return net.module_
        sizes = known_sizes(net, type(given)) if kwargs else {}
        module = create(copy.deepcopy(given), sizes | kwargs)
    else:
        module = create(given, known_sizes(net, given) | kwargs)
    net.pruned_ = None
    return without_cache(module) if isinstance(module, nn.Module) else module


def known_sizes(net: CoreNet, factory: Any) -> dict[str, Any]:
    """Return those sizes of the data that are known and that a class asks for.

    These are n_features and n_classes, and of an X of several arrays n_<name> of each: the columns
    of floats, or one more than the largest integer, which is what an embedding has to hold.
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
