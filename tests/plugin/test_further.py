import pytest

pytest.importorskip("qgis.core")

from swath.engine.contract.errors import EngineError, ErrorCode
from swath.plugin.processing.further import FurtherLayers, further_inputs

TWO = ("/a.tif", "/b.tif")


def found(sources, profile="auto", **texts):
    """Name, file, profile, bands and date of each."""
    inputs = further_inputs(FurtherLayers(sources, **texts), profile)
    specs = [(i.name, i.input) for i in inputs]
    return [(name, s.uris[0], s.profile, dict(s.bands), s.date) for name, s in specs]


def test_a_second_layer_needs_no_more_than_itself():
    assert found(("/a.tif",), "rgb8") == [("", "/a.tif", "rgb8", {}, None)]
    assert found(()) == []


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ("after, prior", [("after", None), ("prior", None)]),
        ("after; prior", [("after", None), ("prior", None)]),
        (", prior", [("", None), ("prior", None)]),
        ("image", [("image", None)] * 2),
        ("@2024-05-01, @2024-06-01", [("", "2024-05-01"), ("", "2024-06-01")]),
        (" image @ 2024-05-01 ,dem", [("image", "2024-05-01"), ("dem", None)]),
    ],
)
def test_names_and_dates_in_the_layers_order(names, named):
    assert [(one[0], one[4]) for one in found(TWO, names=names)] == named


def test_profiles_and_bands_of_each_layer():
    inputs = found(TWO, "landsat-c2-l2", profiles="; raw", bands="red=1, nir=2; class=1")
    assert [one[2] for one in inputs] == ["landsat-c2-l2", "raw"]
    assert [one[3] for one in inputs] == [{"red": "1", "nir": "2"}, {"class": "1"}]
    profile = "custom:quantity=raw,scale=2"
    assert [one[2] for one in found(TWO, profiles=profile)] == [profile] * 2


def test_a_typed_date_goes_before_the_layers_own():
    inputs = found(TWO, dates=("2020-01-01", "2021-01-01"), names="@2024-05-01,")
    assert [one[4] for one in inputs] == ["2024-05-01", "2021-01-01"]


@pytest.mark.parametrize(
    ("sources", "texts", "says"),
    [
        (TWO, {"names": "a, b, c"}, "«Names of the further layers»: 3; further layers: 2"),
        ((), {"names": "after"}, "«Names of the further layers»: 1; further layers: 0"),
        (TWO, {"profiles": "raw; raw; raw"}, "«Input profiles of the further layers»: 3"),
        (TWO, {"bands": "red"}, "ROLE=BAND"),
    ],
)
def test_texts_that_do_not_go_with_the_layers_are_refused(sources, texts, says):
    with pytest.raises(EngineError, match=says) as caught:
        found(sources, **texts)
    assert caught.value.code is ErrorCode.REQUEST_INVALID
