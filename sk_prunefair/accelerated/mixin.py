"""skorch's AccelerateMixin together with this library: one net trained by several processes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from skorch.dataset import unpack_data
from skorch.exceptions import DeviceWarning
from skorch.hf import AccelerateMixin
from skorch.net import NeuralNet
from torch import nn

from sk_prunefair import nested
from sk_prunefair.accelerated.accelerators import (
    Shell,
    check_same_data,
    place,
    ranks_of,
    release,
)
from sk_prunefair.data.dataset import GroupDataset
from sk_prunefair.ranks import Ranks

if TYPE_CHECKING:
    from sk_prunefair.fitted_net import FittedNet as _Base
else:
    _Base = object


class Accelerated(_Base):
    """Overrides for a net with skorch's ``AccelerateMixin`` among its base classes.

    A subclass of `sk_prunefair.FairPrunedClassifier` and ``AccelerateMixin`` gets this class in
    front of its bases automatically. During training accelerate wraps a `Shell` of ``module_`` and
    the optimizers; afterwards both are unwrapped.
    """

    accelerator: Any
    # The wrapped module of a training step, and the module that it wraps.
    shell_: nn.Module | None = None
    inner_: nn.Module | None = None
    is_split_: bool = False

    @property
    def ranks(self) -> Ranks:  # type: ignore[override]
        """The processes of the accelerator."""
        known = vars(self).get("ranks_")
        if known is None:
            known = self.ranks_ = ranks_of(self.accelerator)
        return known

    @property
    def device(self) -> Any:
        """The device of the net: the parameter, or the accelerator's device if that is None."""
        given = vars(self).get("device")
        is_left = given is None and "accelerator" in vars(self)
        return place(self.accelerator) if is_left else given

    @device.setter
    def device(self, value: Any) -> None:
        vars(self)["device"] = value

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        """Return the parameters, ``device`` as it was given."""
        params = super().get_params(deep=deep, **kwargs)
        return params | ({"device": vars(self)["device"]} if "device" in params else {})

    def _validate_params(self) -> None:
        # skorch expects the value of the parameter here, not the device of the net.
        device = vars(self)["device"]
        _skip(self)._validate_params()
        if self.accelerator.device_placement and device is not None:
            raise ValueError(
                f"device must be None, as the accelerator places the net; got {device!r}"
            )

    def __getstate__(self) -> Any:
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "ranks_"}

    def __setstate__(self, state: Any) -> None:
        # skorch would choose a device of this machine and warn.
        given = state["device"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeviceWarning)
            super().__setstate__(state)
        vars(self)["device"] = given

    def initialize(self) -> Any:
        """Create the net, the same on all ranks; accelerate wraps it when training begins."""
        return _skip(self).initialize()

    def _initialize_callbacks(self) -> Any:
        # skorch would print by the accelerator, whatever `verbose` is.
        name = "callbacks__print_log__sink"
        given = vars(self)[name]
        if given == "auto":
            vars(self)[name] = print if self.ranks.is_main else _print_nothing
        try:
            return _skip(self)._initialize_callbacks()
        finally:
            vars(self)[name] = given

    # -------------------------------------------------------------------- data

    def get_split_datasets(
        self, X: GroupDataset, y: Any = None, **fit_params: Any
    ) -> tuple[GroupDataset, Any]:
        """Split off a validation set, with the same rows on all ranks."""
        parts = super().get_split_datasets(X, y, **fit_params)
        if parts[1] is None:
            return parts
        own = [part for part in parts if isinstance(part, GroupDataset)]
        for part, rows in zip(own, self.ranks.main([part.rows for part in own]), strict=True):
            part.rows = rows
        return parts

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Return an iterator over batches; for training data, over this rank's part of each."""
        return _skip(self).get_iterator(dataset, training=training)

    # ---------------------------------------------------------------- the loop

    def train(self, data: GroupDataset, epochs: int, *args: Any, **options: Any) -> None:
        """Train for some epochs on all ranks, which must hold the same data."""
        check_same_data(self.ranks, data)
        with self._prepared():
            super().train(data, epochs, *args, **options)

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[None]:
        names = [name + "_" for name in self._optimizers]
        plain = {name: vars(self)[name] for name in names}
        shell = Shell(self.module_)
        prepared = [self.accelerator.prepare(part) for part in (shell, *plain.values())]
        vars(self).update(zip(plain, prepared[1:], strict=True))
        vars(self).update(shell_=prepared[0], inner_=self.module_)  # not registered by skorch
        for part in self._other_parts():
            self.ranks.align(part)
        try:
            yield
        finally:
            vars(self).update(plain, shell_=None, inner_=None)
            release(self.accelerator, prepared)

    def _other_parts(self) -> list[nn.Module]:
        """Return the parts with parameters other than the net, such as a criterion with weights."""
        parts = [vars(self).get(name + "_") for name in (*self._modules, *self._criteria)]
        return [p for p in parts if isinstance(p, nn.Module) and p is not self.module_]

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Run the net; in a training step, the module that accelerate has wrapped."""
        run: Any = super().infer
        if self.is_split_ and nested.tensors_of(x):
            return self._gathered(x, **fit_params)
        if self.inner_ is not self.module_ or not torch.is_grad_enabled():
            return run(x, **fit_params)
        view = self.with_module(self.shell_)
        vars(view)["inner_"] = None
        return run.__func__(view, x, **fit_params)

    def _gathered(self, x: Any, **fit_params: Any) -> Any:
        """Run the net on this rank's rows of a batch and return the outputs of all ranks."""
        n_rows, ranks = nested.n_rows(x), self.ranks
        if n_rows < 2 * ranks.count:
            return super().infer(x, **fit_params)
        output = super().infer(nested.take(x, ranks.part(n_rows)), **fit_params)
        return nested.map_tensors(lambda t: ranks.concatenate(t) if t.ndim else t, output)

    def train_step(self, batch: Any, **fit_params: Any) -> Any:
        """Train on a batch; accumulated gradients are exchanged in the last step."""
        with self.accelerator.accumulate(self.shell_):
            return _skip(self).train_step(batch, **fit_params)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the gradients of a batch as their mean over its rows on all ranks."""
        self._set_training(True)
        X, y = unpack_data(batch)
        with self.accelerator.autocast():
            y_pred = self.infer(X, **fit_params)
            loss = self.get_loss(y_pred, y, X=X, training=True)
        part = None if self.step_ is None else self.step_.columns.get("part")
        if part is not None:
            loss = loss * part.share
        self.accelerator.backward(loss)
        for other in self._other_parts():
            grads = [p.grad for p in other.parameters() if p.grad is not None]
            self.ranks.average(grads)
        return {"loss": loss, "y_pred": y_pred}

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Run the net on a validation batch, whose rows are split over the ranks."""
        self.is_split_ = self.training_ is not None and self.ranks.count > 1
        try:
            with self.accelerator.autocast():
                return super().validation_step(batch, **fit_params)
        finally:
            self.is_split_ = False

    def evaluation_step(self, batch: Any, training: bool = False) -> Any:
        """Run the net on a batch on this rank alone, as for predictions."""
        return _skip(self).evaluation_step(batch, training=training)

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Iterate over the batches once, then average buffers such as those of batch norm."""
        super().run_single_epoch(iterator, training, prefix, *args, **kwargs)
        if training and self.ranks.count > 1:
            self.ranks.average([b for b in self.module_.buffers() if b.is_floating_point()])

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Call the callbacks; at the end of training make the net bitwise equal on all ranks."""
        super().notify(method_name, **kwargs)
        if method_name == "on_train_end":
            self.ranks.align(self.module_)
            self.enforce()

    # ------------------------------------------------------------------- files

    def fairness_report(self, *args: Any, **kwargs: Any) -> Any:
        """Compare both nets; only the main rank writes the report's files."""
        report = super().fairness_report(*args, **kwargs)
        report.writes_files = self.ranks.is_main
        return report

    def load_params(self, *args: Any, **kwargs: Any) -> None:
        """Load from files after the main rank has written them."""
        self.ranks.wait()
        _skip(self).load_params(*args, **kwargs)


def _print_nothing(text: str) -> None:
    """Print on the main rank only."""


def _skip(net: Any) -> Any:
    """Return ``super()`` with a lookup that starts after skorch's mixin."""
    return super(AccelerateMixin, net)


def adapted(cls: type) -> None:
    """Insert `Accelerated` before skorch's mixin among the bases of a class."""
    if issubclass(cls, AccelerateMixin) and not issubclass(cls, Accelerated):
        if cls.__mro__.index(AccelerateMixin) > cls.__mro__.index(NeuralNet):
            raise TypeError(
                "AccelerateMixin must come before FairPrunedClassifier in the bases of "
                f"{cls.__name__}, got {', '.join(base.__name__ for base in cls.__bases__)}"
            )
        cls.__bases__ = (Accelerated, *cls.__bases__)
