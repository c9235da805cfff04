"""Decorators for functions and parameters that are deprecated for two minor releases."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["deprecated", "renamed_parameter"]

P = ParamSpec("P")
R = TypeVar("R")


def deprecated(
    *, since: str, removed: str, instead: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function warn that it will be removed, also in its docstring.

    Parameters
    ----------
    since, removed : str
        The releases that deprecate and remove it, such as "0.3" and "0.5".
    instead : str
        The replacement to call.

    Returns
    -------
    callable
        A decorator of functions and methods. Calls raise a FutureWarning, which Python shows by
        default, at the caller's line.

    Examples
    --------
    >>> import warnings
    >>> from sk_prunefair.deprecation import deprecated
    >>> @deprecated(since="0.3", removed="0.5", instead="new_name")
    ... def old_name(x):
    ...     '''Return x.'''
    ...     return x
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     old_name(1)
    1
    >>> print(caught[0].message)
    old_name is deprecated since 0.3 and will be removed in 0.5: use new_name
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        said = f"deprecated since {since} and will be removed in {removed}: use {instead}"

        @functools.wraps(function)
        def warned(*args: P.args, **kwargs: P.kwargs) -> R:
            warnings.warn(f"{function.__name__} is {said}", FutureWarning, stacklevel=2)
            return function(*args, **kwargs)

        head, _, rest = (function.__doc__ or "").partition("\n")
        note = f"\n\n    .. deprecated:: {since}\n        Use {instead}; removed in {removed}.\n"
        warned.__doc__ = f"{head}{note}{rest}"
        return warned

    return decorate


def renamed_parameter(
    old: str, new: str, *, since: str, removed: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept a parameter under its old name, with a warning.

    Parameters
    ----------
    old, new : str
        The names of the parameter.
    since, removed : str
        The releases that deprecate and remove the old name.

    Returns
    -------
    callable
        A decorator. The old name raises a FutureWarning; both names raise a TypeError.

    Examples
    --------
    >>> import warnings
    >>> from sk_prunefair.deprecation import renamed_parameter
    >>> @renamed_parameter("share", "rate", since="0.3", removed="0.5")
    ... def prune(rate):
    ...     return rate
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     prune(share=0.5)
    0.5
    >>> print(caught[0].message)
    prune: share is deprecated since 0.3 and will be removed in 0.5: use rate
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def warned(*args: P.args, **kwargs: P.kwargs) -> R:
            if old in kwargs:
                if new in kwargs:
                    raise TypeError(f"{function.__name__} got both {old} and {new}; use {new}")
                warnings.warn(
                    f"{function.__name__}: {old} is deprecated since {since} and will be removed "
                    f"in {removed}: use {new}",
                    FutureWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return warned

    return decorate
