"""Charts as SVG text: the same bytes for the same numbers, readable on light and dark pages."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

INK, RULE, QUIET = "#1f2328", "#d0d7de", "#6a737d"
"""Of text and axes; of the lines behind the data; of what explains them."""
NIGHT = {INK: "#e6e9ec", RULE: "#3a4149", QUIET: "#a3adb8"}
"""The same on a dark page."""
BLUE, ORANGE = "#0072b2", "#d55e00"
"""Told apart with any kind of colour vision (Okabe and Ito 2008)."""
FONTS = "'Helvetica Neue', Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
"""None is wider than the one with which the room for texts is measured."""
MEASURED = "DejaVu Sans"
POINTS = 72
LOOK = {
    "svg.fonttype": "none",
    "svg.hashsalt": "swath",
    "font.family": MEASURED,
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}
FAMILY = re.compile(r"font-family: [^;\"]*")
UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""What no SVG may hold."""


def drawn(size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """An SVG of one pair of axes.

    Args:
        size: Width and height in points.
        draw: Gets the axes of matplotlib, and puts everything onto them.
    """
    import matplotlib as mpl  # noqa: PLC0415 - heavy
    from matplotlib.figure import Figure  # noqa: PLC0415 - heavy

    look: Any = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith("backend")}
    look |= LOOK  # whatever a user's own settings are
    with mpl.rc_context(look), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font for measuring has not
        figure = Figure(figsize=(size[0] / POINTS, size[1] / POINTS), layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        nobody = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nobody, transparent=True)
    return _finished(file.getvalue())


def clean(text: str) -> str:
    """A text as a chart can show it."""
    return UNFIT.sub("�", text)


def marked(artist: Any, number: int) -> None:
    """Give a mark a name in the SVG by which it can be found."""
    artist.set_gid(f"mark-{number}")


def _finished(svg: str) -> str:
    night = "".join(
        f'[style*="{kind}: {day}"] {{{kind}: {color} !important}}'
        for day, color in NIGHT.items()
        for kind in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark) {{{night}}}</style>"
    svg = FAMILY.sub(f"font-family: {FONTS}", svg[svg.index("<svg") :])
    head, _, rest = svg.partition("</defs>")
    return f"{head}{style}</defs>{rest}"
