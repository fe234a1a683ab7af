"""Numbers as people read them: thousands apart, no more digits than are known."""

from __future__ import annotations

import math

SPACE = "\N{NARROW NO-BREAK SPACE}"
"""Between thousands, and before units."""
UNKNOWN = "–"
SQUARE_KM, HECTARE = 1e6, 1e4
KILO = 1024
MANY = 100
"""From here on, numbers need no decimals."""
DIGITS = 6
MOST_DECIMALS = 6
LARGE = 1e15
"""From here on, a float does not hold every whole number."""
LEAST_SHARE = 1e-4
MINUTE, HOUR = 60, 3600


def shown(value: float | None, digits: int | None = None) -> str:
    """A number with thousands apart.

    Args:
        value: None: nobody knows.
        digits: Behind the point; None: as many as it needs, six digits in all.
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if digits is None:
        digits = _needed(value)
    if digits < 0:
        return f"{value:.{DIGITS - 1}g}"
    return f"{value:,.{digits}f}".replace(",", SPACE).replace("-", "−")


def brief(value: float) -> str:
    """A number in three digits."""
    if value == 0 or not math.isfinite(value):
        return shown(value)
    digits = 2 - math.floor(math.log10(abs(value)))
    return shown(round(value, digits)) if digits <= MOST_DECIMALS else f"{value:.2e}"


def area(square_metres: float) -> str:
    """An area in the unit that suits it."""
    for unit, size in (("km²", SQUARE_KM), ("ha", HECTARE)):
        if square_metres >= size:
            return f"{_rounded(square_metres / size)}{SPACE}{unit}"
    return f"{_rounded(square_metres)}{SPACE}m²"


def percent(share: float) -> str:
    """A share of 0..1."""
    if 0 < share < LEAST_SHARE:
        return f"less than {100 * LEAST_SHARE:g}{SPACE}%"
    return f"{100 * share:.3g}{SPACE}%"


def duration(seconds: float) -> str:
    """How long something took."""
    if seconds < MINUTE:
        return f"{seconds:.3g}{SPACE}s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)}{SPACE}min {int(seconds % MINUTE)}{SPACE}s"
    return f"{int(seconds // HOUR)}{SPACE}h {int(seconds % HOUR // MINUTE)}{SPACE}min"


def data_size(count: float) -> str:
    """Bytes in the unit that suits them."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = min(int(math.log(max(count, 1), KILO)), len(units) - 1)
    return f"{brief(count / KILO**power)}{SPACE}{units[power]}"


def _needed(value: float) -> int:
    """Decimals; below 0 where there would be too many noughts."""
    if value == int(value) and abs(value) < LARGE:
        return 0
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -MOST_DECIMALS or abs(value) >= LARGE:
        return -1
    digits = max(0, DIGITS - 1 - exponent)
    return len(f"{value:.{digits}f}".rstrip("0").partition(".")[2])


def _rounded(value: float) -> str:
    return shown(value, 0 if value >= MANY else 1 if value >= 10 else 2)  # noqa: PLR2004 - digits
