"""Format numbers with their units."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"


def percent(share: float) -> str:
    """Return a share of one in percent.

    >>> percent(0.8424), percent(float("nan"))
    ('84.2%', '—')
    """
    return f"{share:.1%}" if math.isfinite(share) else "—"


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, without the unit.

    >>> points(0.1234), points(-0.004), points(0.0)
    ('12.3', '−0.4', '0.0')
    """
    return f"{100 * difference:z.1f}".replace("-", MINUS) if math.isfinite(difference) else "—"


def decimal(number: float) -> str:
    """Return a number with three digits after the point.

    >>> decimal(-1234.5678), decimal(-0.0001)
    ('−1,234.568', '0.000')
    """
    return f"{number:z,.3f}".replace("-", MINUS) if math.isfinite(number) else "—"


def lost(drop: float) -> str:
    """Return a change of accuracy in words.

    >>> lost(0.199), lost(-0.004), lost(0.0), lost(0.0004)
    ('lost 19.9', 'gained 0.4', 'unchanged', 'lost < 0.1')
    """
    if drop == 0:
        return "unchanged"
    verb = "lost" if drop > 0 else "gained"
    size = points(abs(drop))
    return f"{verb} < 0.1" if size == "0.0" else f"{verb} {size}"


def size(number: float, unit: str = "") -> str:
    """Return a large number with three significant digits and an SI prefix.

    >>> size(1234567, "B"), size(999, "B"), size(45_200), size(2.5e9)
    ('1.23 MB', '999 B', '45.2 k', '2.5 G')
    """
    prefix = ""
    for larger in ("k", "M", "G", "T"):
        if abs(number) < 999.5:
            break
        number, prefix = number / 1000, larger
    return f"{number:.3g} {prefix}{unit}".strip()
