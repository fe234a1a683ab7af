"""Charts, as the SVG that comes out tells of them."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.report import charts
from engine.report.canvas import NIGHT

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = 'a <script>alert("x")</script> $\\frac{1}{0}$ & \x00\x1b\udcff'


def parsed(svg):
    root = ET.fromstring(svg)
    texts = ["".join(t.itertext()).strip() for t in root.iter(f"{SVG}text")]
    marks = [g for g in root.iter(f"{SVG}g") if (g.get("id") or "").startswith("mark-")]
    return texts, marks


def numbers(count, seed=0):
    return np.random.default_rng(seed).gamma(3, 30, count)


MADE = {
    "area_bars": lambda: charts.area_bars(
        ["change", "same"], ["#d7301f", "#d9d9d9"], [4.3, 20.2], "ha"
    ),
    "importance": lambda: charts.importance_bars(["nir", "red"], [0.2, 0.7], [0.1, 0.1]),
    "intervals": lambda: charts.interval_plot(["A", "B"], [2, 3], [1, 2], [4, 5], "biomass (Mg)"),
    "heat_map": lambda: charts.heat_map(
        ["x", "y"], ["x", "y"], [[4, 1], [None, 2]], ("map", "truth")
    ),
    "scatter": lambda: charts.scatter(numbers(50), numbers(50, 1), "Mg/ha", "biomass"),
    "reliability": lambda: charts.reliability_diagram([0.1, 0.9], [0.2, 0.8], [10, 90]),
    "variogram": lambda: charts.variogram([10, 20, 30], [1, 2, 2.5], ([0, 30], [0, 3])),
    "histogram": lambda: charts.histogram(numbers(500), "height (m)", 90, "cut"),
    "ramp": lambda: charts.color_ramp(["#440154", "#fde725"], (0, 5), "height (m)"),
}
WANTED = {
    "area_bars": ("area (ha)", 2),
    "importance": ("importance", 2),
    "intervals": ("biomass (Mg)", 2),
    "heat_map": ("truth", 4),
    "scatter": ("predicted biomass (Mg/ha)", 1),
    "reliability": ("observed share", 2),
    "variogram": ("distance (m)", 3),
    "histogram": ("height (m)", charts.BINS),
    "ramp": ("height (m)", charts.STEPS),
}


@pytest.mark.parametrize("name", MADE)
def test_axes_have_names_and_every_number_has_a_mark(name):
    texts, marks = parsed(MADE[name]())
    label, count = WANTED[name]
    assert label in texts
    assert len(marks) == count


@pytest.mark.parametrize("name", MADE)
def test_equal_numbers_give_equal_bytes(name):
    first = MADE[name]()
    assert first == MADE[name]()
    assert not re.search(r"20\d\d-\d\d-\d\d|matplotlib v|file:|http(?!://www\.w3\.org)", first)


@pytest.mark.parametrize("name", MADE)
def test_every_chart_knows_the_night(name):
    svg = MADE[name]()
    assert "prefers-color-scheme: dark" in svg
    assert all(day in svg and night in svg for day, night in NIGHT.items() if day in svg)
    assert "#000000" not in svg


def test_bars_stand_in_order_with_their_numbers():
    texts, _ = parsed(charts.importance_bars(["low", "high", "middle"], [0.1, 0.9, 0.5]))
    assert [t for t in texts if t in ("low", "high", "middle")] == ["high", "middle", "low"]
    assert {"0.9", "0.5", "0.1"} <= set(texts)


def test_bars_are_as_long_as_their_numbers():
    _, marks = parsed(MADE["area_bars"]())

    def width(mark):
        xs = [float(x) for x in re.findall(r"[ML] ([\d.]+)", mark.find(f"{SVG}path").get("d"))]
        return max(xs) - min(xs)

    assert width(marks[1]) / width(marks[0]) == pytest.approx(20.2 / 4.3, rel=1e-3)
    assert "#d7301f" in ET.tostring(marks[0], encoding="unicode")


def test_the_line_of_equality_is_a_diagonal():
    svg = charts.scatter([0, 100], [0, 100])
    assert "1 : 1" in parsed(svg)[0]
    line = next(
        p.get("d")
        for p in ET.fromstring(svg).iter(f"{SVG}path")
        if re.fullmatch(r"\s*M [\d. ]+\s+L [\d. ]+\s*", p.get("d")) and "#1f2328" in p.get("style")
    )
    (x0, y0), (x1, y1) = re.findall(r"([\d.]+) ([\d.]+)", line)
    assert float(x1) - float(x0) == pytest.approx(float(y0) - float(y1), rel=1e-6)


def test_many_points_do_not_make_a_huge_chart():
    assert len(charts.scatter(numbers(200_000), numbers(200_000, 1))) < 200_000
    uses = ET.fromstring(charts.scatter(numbers(50), numbers(50, 1))).iter(f"{SVG}use")
    assert sum("fill: #0072b2" in (u.get("style") or "") for u in uses) == 50


def test_large_matrices_have_no_numbers_in_their_cells():
    size = charts.FEW + 5
    names = [str(n) for n in range(size)]
    texts, marks = parsed(charts.heat_map(names, names, np.full((size, size), 7.5), ("a", "b")))
    assert len(marks) == size**2
    assert "7.5" not in texts


@pytest.mark.parametrize("name", MADE)
def test_no_chart_changes_the_look_of_others(name):
    import matplotlib as mpl  # noqa: PLC0415

    before = dict(mpl.rcParams)
    MADE[name]()
    assert dict(mpl.rcParams) == before


def test_hostile_names_are_text():
    texts, _ = parsed(charts.area_bars([HOSTILE], ["#123456"], [1], HOSTILE))
    shown = next(t for t in texts if t.startswith("area ("))
    assert '<script>alert("x")</script> $\\frac{1}{0}$ &' in shown


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=4), st.text(max_size=30))
def test_any_areas_and_any_name_can_be_drawn(values, name):
    names = [name] * len(values)
    _, marks = parsed(charts.area_bars(names, ["#336699"] * len(values), values, "m²"))
    assert len(marks) == len(values)


def test_what_is_no_number_is_left_out():
    assert parsed(charts.histogram([1, 2, np.nan, np.inf], "x"))[1]
    assert parsed(charts.scatter([], []))[0]
    assert parsed(charts.scatter([1, np.nan], [1, 2]))[0]
