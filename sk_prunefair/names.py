"""Names of two compared models, in columns and sentences."""

from __future__ import annotations

from typing import Any, NamedTuple


class Names(NamedTuple):
    """Names of the model before and after compression.

    Parameters
    ----------
    dense, compressed : str
        Names of the two models.

    Examples
    --------
    >>> Names("fp32", "int8").compressed_model
    'int8 model'
    >>> Names().compressed_model
    'pruned net'
    """

    dense: str = "dense"
    compressed: str = "pruned"

    @property
    def is_pruning(self) -> bool:
        """Whether these are the names of a net before and after pruning."""
        return self == PRUNING

    @property
    def process(self) -> str:
        """The change made to the dense model, in a sentence."""
        return "pruning" if self.is_pruning else "compression"

    @property
    def kind(self) -> str:
        """The kind of the two models, "net" or "model"."""
        return "net" if self.is_pruning else "model"

    @property
    def dense_model(self) -> str:
        """The model before, in a sentence."""
        return f"{self.dense} {self.kind}"

    @property
    def compressed_model(self) -> str:
        """The model after, in a sentence."""
        return f"{self.compressed} {self.kind}"


PRUNING = Names()


def check_names(names: Any) -> Names:
    """Return the names, or raise ValueError unless they are two different strings.

    Examples
    --------
    >>> check_names(["a", "a"])
    Traceback (most recent call last):
        ...
    ValueError: names must be two different strings, got ['a', 'a']
    """
    is_pair = isinstance(names, (tuple, list)) and len(names) == 2
    if not is_pair or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"names must be two different strings, got {names!r}")
    if names[0] == names[1]:
        raise ValueError(f"names must be two different strings, got {names!r}")
    return Names(*names)
