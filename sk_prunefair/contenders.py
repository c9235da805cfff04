"""The forms in which a fitted net can run, for latency measurements."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import nn

from sk_prunefair.export import sparse_module, to_onnx
from sk_prunefair.export._int8 import check_quantize, write_int8
from sk_prunefair.latency import Made, call_of, compare_latency, evaluating
from sk_prunefair.latency.compare import OPTIONS, first_rows
from sk_prunefair.latency.settings import checked_sizes
from sk_prunefair.nested import n_rows, take
from sk_prunefair.onnx_model import OnnxModel
from sk_prunefair.onnx_model.inputs import Rows

if TYPE_CHECKING:
    from sk_prunefair.data.dataset import GroupDataset
    from sk_prunefair.protocol import CoreNet

CONTENDERS = ("dense", "masked", "channels", "sparse", "onnx", "int8")
"""Forms of a classifier that can be timed."""
LATENCY_OPTIONS = ("contenders", *OPTIONS)
_CALIBRATION = 64
_PASSES = 50  # forward passes that sparse_module needs, roughly


def net_latency(
    net: CoreNet, data: GroupDataset, *, contenders: Sequence[str] | None = None, **options: Any
) -> pd.DataFrame:
    """Measure how long the forms of a fitted net take for the same samples, alternately.

    Parameters
    ----------
    net : CoreNet
        The classifier.
    data : GroupDataset
        Data whose first batch holds the input samples; they are moved to the device beforehand.
    contenders : sequence of str, default=None
        Some of "dense", the net before pruning; "masked", the pruned net with its zeros, or
        "channels", the smaller net, depending on what was pruned; "sparse", by
        `sk_prunefair.export.sparse_module`; "onnx" and "int8", by `sk_prunefair.export.to_onnx`, in
        floats and integers, run by ONNX Runtime (the extra ``onnx``). None takes all
        that this net has. "onnx", "int8" and "sparse" are forms of the pruned net that run on the
        CPU.
    **options : dict
        ``batch_sizes``, ``threads``, ``n_rounds`` and ``seconds`` of
        `sk_prunefair.latency.compare_latency`. "sparse" is left out for those batch sizes and
        threads for which choosing its layers would take longer than ``seconds``.

    Returns
    -------
    pandas.DataFrame
        As `sk_prunefair.latency.compare_latency` returns it.

    Raises
    ------
    ValueError
        If a contender is none of these, or an option is malformed.
    """
    names = _names(net, contenders)
    sizes = checked_sizes(options.get("batch_sizes", (1, 64)))
    X = _first(net, data, max(sizes))
    left_out = {name: why for name in names if (why := _lacks(net, name))}
    with _files(net.module_, X) as makers:
        of_names: dict[str, Any] = {
            "dense": net.dense_module_,
            "masked": net.module_,
            "channels": net.module_,
            "sparse": Made(partial(_sparse, net.module_, options.get("seconds", 10.0))),
            **makers,
        }
        asked = {name: of_names[name] for name in names if name not in left_out}
        if not asked:
            raise ValueError(f"none of the contenders {names} of latency can be made: {left_out}")
        table = compare_latency(asked, X, **(options | {"batch_sizes": sizes}))
    table.attrs |= {
        "what": "a forward pass",
        "left_out": left_out | table.attrs["left_out"],
    }
    return table


def form_of(net: CoreNet) -> str:
    """Return the name of the pruned net among the contenders."""
    if net.pruned_ is None:
        return "dense"
    return "masked" if net.pruned_.plan.kept is None else "channels"


def _names(net: CoreNet, contenders: Sequence[str] | None) -> list[str]:
    if contenders is None:
        pruned = form_of(net)
        return ["dense", *[pruned] * (pruned != "dense"), "sparse", "onnx", "int8"]
    is_several = isinstance(contenders, Iterable) and not isinstance(contenders, str)
    names: list[Any] = [*contenders] if is_several else [contenders]
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown or not names:
        raise ValueError(
            f"latency['contenders'] must be some of {list(CONTENDERS)}, got {contenders!r}"
        )
    return list(dict.fromkeys(names))


def _lacks(net: CoreNet, name: str) -> str | None:
    """Return why the net has no such contender, or None if it has."""
    found = form_of(net)
    if name in ("masked", "channels") and name != found:
        return "nothing was pruned" if found == "dense" else f"the pruned net is {found}"
    device = next((each.device for each in net.module_.parameters()), torch.device("cpu"))
    if name in ("sparse", "onnx", "int8") and device.type != "cpu":
        return f"it runs on the CPU, the net on {device}"
    return None


def _first(net: CoreNet, data: GroupDataset, n: int) -> Any:
    """Return at most n samples of the first batch, as the module receives them."""
    X, _ = next(iter(net.get_iterator(data, training=False)))
    return take(X, slice(0, n))


def _sparse(module: nn.Module, seconds: float, X: Any, n_threads: int) -> nn.Module:
    """Return the sparse module, or raise ValueError if choosing its layers takes too long."""
    start = time.perf_counter()
    with evaluating([module]):
        call_of(module, X)()
    expected = _PASSES * (time.perf_counter() - start)
    if expected > seconds:
        raise ValueError(
            f"choosing its layers takes about {expected:.0f} s, more than seconds={seconds:g}"
        )
    return sparse_module(module, X, threads=n_threads)


@contextmanager
def _files(module: nn.Module, X: Any) -> Iterator[dict[str, Made]]:
    """Yield the contenders that run from files, and remove the files afterwards."""
    with tempfile.TemporaryDirectory() as folder:

        def make(name: str, batch: Any, n_threads: int) -> Any:
            path = _written(module, Path(folder), name, X)
            model = OnnxModel(path, batch_size=n_rows(batch), threads=n_threads)
            arrays = Rows(batch, model.inputs).batch(0, n_rows(batch))
            model.run_batch(arrays)  # the contender is left out if this fails
            return lambda _: model.run_batch(arrays)[0]

        yield {name: Made(partial(make, name)) for name in ("onnx", "int8")}


def _written(module: nn.Module, folder: Path, name: str, X: Any) -> Path:
    """Return the file of a contender, which is written on first use."""
    whole, path = folder / "onnx.onnx", folder / f"{name}.onnx"
    with _without_warnings():
        if not whole.exists():
            to_onnx(module, whole, take(X, slice(0, 2)))
        if not path.exists():
            # The ranges of these rows do not match training data, which does not change the
            # latency.
            rows = first_rows(X, max(_CALIBRATION, n_rows(X)))
            check_quantize(name, rows)
            write_int8(module, whole, path, rows)
    return path


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress warnings about a file's predictions, which are not used."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
