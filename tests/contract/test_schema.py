"""The contract as one page of JSON: a change of it is a change of this file, seen in review."""

import dataclasses
import enum
import inspect
import json
import os
import typing
from pathlib import Path

import pytest

from engine.contract import analyses, errors, events, messages, places, results, update, version
from engine.contract.codec import to_plain

GOLDEN = Path(__file__).parent / "golden" / "contract.json"


def type_name(kind):
    """A type in words that are the same on every Python."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return " or ".join("null" if a is type(None) else type_name(a) for a in args)
    if origin is tuple and Ellipsis in args:
        return f"list of {type_name(args[0])}"
    if origin is tuple:
        return f"[{', '.join(map(type_name, args))}]"
    if origin is dict:
        return f"object of {type_name(args[1])}"
    if origin is typing.Literal:
        return " or ".join(f"'{word}'" for word in args)
    return kind.__name__


def describe_field(field, kind):
    if field.default is not dataclasses.MISSING:
        return {"type": type_name(kind), "default": to_plain(field.default)}
    if field.default_factory is not dataclasses.MISSING:
        return {"type": type_name(kind), "default": to_plain(field.default_factory())}
    return {"type": type_name(kind)}


def describe(kind):
    if issubclass(kind, enum.Enum):
        return [member.value for member in kind]
    hints = typing.get_type_hints(kind)
    return {f.name: describe_field(f, hints[f.name]) for f in dataclasses.fields(kind)}


def public_types():
    for module in (analyses, errors, messages, events, places, results, update):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            is_message = dataclasses.is_dataclass(kind) or issubclass(kind, enum.Enum)
            if kind.__module__ == module.__name__ and is_message:
                yield name, kind


def test_the_contract_is_the_golden_one():
    found = {name: describe(kind) for name, kind in sorted(public_types())}
    page = {"protocol": version.PROTOCOL, "types": found}
    text = json.dumps(page, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("SWATH_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == page


def test_error_codes_are_their_own_names():
    assert all(code.value == code.name for code in errors.ErrorCode)


@pytest.mark.parametrize(
    ("theirs", "is_friend"), [("1.0", True), ("1.7", True), ("2.0", False), ("", False)]
)
def test_equal_majors_understand_each_other(theirs, is_friend):
    assert version.is_compatible(theirs) is is_friend


def test_only_running_and_waiting_jobs_are_not_final():
    going_on = {state for state in messages.JobState if not state.is_final}
    assert going_on == {messages.JobState.QUEUED, messages.JobState.RUNNING}


def test_the_state_folder_follows_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv(places.STATE_VARIABLE, str(tmp_path / "Zustand hier"))
    assert places.state_dir() == tmp_path / "Zustand hier"
    assert places.connection_path(places.state_dir()).parent == tmp_path / "Zustand hier"
