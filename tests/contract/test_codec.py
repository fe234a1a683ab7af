import dataclasses
import inspect
import json
import pickle
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from engine.contract import analyses, errors, events, messages, places, results, update
from engine.contract.codec import from_plain, to_plain
from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.server.wire import submission_in

KINDS = [
    kind
    for module in (analyses, errors, messages, events, places, results, update)
    for _, kind in inspect.getmembers(module, dataclasses.is_dataclass)
    if kind.__module__ == module.__name__
]
SCALARS = {
    bool: st.booleans(),
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=20),
}


def values(kind):
    """Any value of a type of the contract."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return st.one_of(st.none(), *(values(a) for a in args if a is not type(None)))
    if origin is tuple and Ellipsis in args:
        return st.lists(values(args[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, args))
    if origin is dict:
        return st.dictionaries(values(args[0]), values(args[1]), max_size=2)
    if dataclasses.is_dataclass(kind):
        return built(kind)
    if origin is typing.Literal:
        kind = args
    return SCALARS[kind] if kind in SCALARS else st.sampled_from(kind)


def built(kind):
    if kind is messages.Submission:
        return st.sampled_from(messages.TaskName).flatmap(submissions)
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{f.name: values(hints[f.name]) for f in dataclasses.fields(kind)})


def submissions(task):
    kind = messages.REQUESTS.get(task, messages.SegmentRequest)
    return st.builds(messages.Submission, st.just(task), values(kind), st.text(max_size=20))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_message_survives_the_wire(kind, data):
    message = data.draw(values(kind))
    wire = json.dumps(to_plain(message))
    assert from_plain(kind, json.loads(wire)) == message


def validated(kind, wire):
    if kind is messages.Submission:
        return submission_in(wire)
    return TypeAdapter(kind).validate_json(wire, strict=True)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_the_server_reads_what_the_plugin_writes(kind, data):
    message = data.draw(values(kind))
    wire = json.dumps(to_plain(message)).encode()
    try:
        assert validated(kind, wire) == message
    except EngineError as error:
        assert "JSON" in error.message  # noqa: PT017 - the rare case
    except ValidationError as error:  # JSON of lone surrogates is refused, which is fine
        assert error.errors()[0]["type"] == "json_invalid"  # noqa: PT017 - the rare case


def submission(**request):
    plain = {"input": {"uris": ["/a.tif"]}, "output": {"raster": "/b.tif"}, **request}
    return {"task": "segment", "request": plain}


def test_defaults_are_filled_and_unknown_fields_ignored():
    plain = submission(tomorrow=[1, 2])
    read = from_plain(messages.Submission, {**plain, "also": "new"})
    assert read.request.model == "auto"
    assert read.request.region.bounds is None
    assert to_plain(read)["request"]["polygons"]["min_area"] == 0.0


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"input": {"uris": [7]}}, "$.request.input.uris[0]"),
        ({"input": {"uris": "/a.tif"}}, "$.request.input.uris"),
        ({"input": {}}, "$.request.input.uris"),
        ({"output": None}, "$.request.output"),
        ({"region": {"bounds": [1, 2, 3]}}, "$.request.region.bounds"),
        ({"polygons": {"simplify": "big"}}, "$.request.polygons.simplify"),
        ({"polygons": {"min_area": True}}, "$.request.polygons.min_area"),
        ({"output": {"raster": "/b.tif", "overwrite": 1}}, "$.request.output.overwrite"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(request_, path):
    with pytest.raises(EngineError) as caught:
        from_plain(messages.Submission, submission(**request_))
    assert caught.value.code is ErrorCode.REQUEST_INVALID
    assert caught.value.message.startswith(f"{path} should be ")


def test_an_unknown_task_is_answered_with_the_known_ones():
    with pytest.raises(EngineError, match=r"\$\.task should be one of segment"):
        from_plain(messages.Submission, {**submission(), "task": "paint"})


def test_whole_numbers_are_floats_where_floats_are_wanted():
    read = from_plain(messages.Submission, submission(region={"bounds": [1, 2, 3, 4]}))
    assert read.request.region.bounds == (1.0, 2.0, 3.0, 4.0)
    assert all(isinstance(v, float) for v in read.request.region.bounds)


@pytest.mark.parametrize(
    "error", [EngineError(ErrorCode.BAND_COUNT, "Seven.", "Give four."), CancelledError()]
)
def test_errors_keep_their_code_between_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert copy.info == error.info
    assert str(copy) == f"{error.message} {error.hint}".strip()
