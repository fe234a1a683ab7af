"""A process that dies while its files get their names leaves all of them, or none, to others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.io.journal import JOURNAL, Publication, settle
from engine.io.staging import Staging

CHECKOUT = Path(__file__).parents[2]
DEATH = 9
PUBLISHED = ("a.tif", "a.csv", "side/a.gpkg")
CHILD = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from engine.io.journal import JOURNAL, settle
from engine.io.staging import Staging

folder, last, act, overwrite = Path(sys.argv[2]), *map(int, sys.argv[3:])
calls = 0

def mortal(real):
    def call(*args, **kwargs):
        global calls
        calls += not args or not isinstance(args[0], Path) or args[0].exists()
        answer = real(*args, **kwargs)
        if calls == last:
            os._exit(9)
        return answer
    return call

for name in ("replace", "unlink"):
    setattr(Path, name, mortal(getattr(Path, name)))
os.fsync = mortal(os.fsync)
journal = folder / "work" / JOURNAL
if act == 0:
    with Staging(overwrite=bool(overwrite), journal=journal) as staging:
        for name in ("a.tif", "a.csv", "side/a.gpkg"):
            with open(staging.path(folder / "out" / name), "w") as file:
                file.write("new " + name)
        staging.commit({"areas": [1, 2]})
else:
    settle(journal)
"""
SETTLE = 1
MANY = 200
"""More steps than any of this takes."""


def contents(folder):
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_text("utf-8") for p in files}


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "Wälder 2024"
    (place / "out" / "side").mkdir(parents=True)
    (place / "work").mkdir()
    return place


def die(folder, at, act=0, overwrite=1):
    """Do the act in a process that dies after its n-th step on the disk; how it ended."""
    numbers = map(str, (at, act, overwrite))
    command = [sys.executable, "-I", "-c", CHILD, str(CHECKOUT), str(folder), *numbers]
    return subprocess.run(command, check=False, timeout=60).returncode


OLD = {"a.tif": "old tif", "a.csv": "old csv", "a.tif.ovr": "old overview", "mine.txt": "mine"}
NEW = {name: f"new {name}" for name in PUBLISHED}


def put(folder, files):
    for name, text in files.items():
        (folder / "out" / name).write_text(text, "utf-8")


@pytest.mark.parametrize("before", [OLD, {"mine.txt": "mine"}], ids=["replacing", "new"])
def test_a_death_at_any_step_leaves_what_was_there_or_all_that_is_new(folder, before):
    endings = []
    for at in range(1, MANY):
        put(folder, before)
        code = die(folder, at, overwrite=int(before is OLD))
        note = settle(folder / "work" / JOURNAL)
        is_new = note is not None
        kept = {"mine.txt": "mine"} if is_new else before
        assert contents(folder / "out") == (kept | NEW if is_new else before), at
        assert (note == {"areas": [1, 2]}) is is_new
        endings.append(is_new)
        for path in (p for p in folder.rglob("*") if p.is_file()):
            path.unlink()
        if code == 0:
            break
        assert code == DEATH
    assert len(endings) > 15
    assert endings == sorted(endings)
    assert not endings[0]
    assert endings.count(True) > 2


def half_published(folder):
    """Die when the first of the files has its new name and others wait for theirs."""
    for at in range(1, MANY):
        put(folder, OLD)
        assert die(folder, at) == DEATH
        found = contents(folder / "out")
        if found.get("a.csv") == NEW["a.csv"]:
            assert set(found) & {"a.tif", "a.tif.ovr"} == {"a.tif"}
            return
        settle(folder / "work" / JOURNAL)


def test_a_death_while_restoring_is_no_harm(folder):
    half_published(folder)
    steps = 0
    while die(folder, 1, act=SETTLE) == DEATH:
        steps += 1
        assert steps < MANY
    assert steps > 5
    assert settle(folder / "work" / JOURNAL) is None
    assert contents(folder / "out") == OLD


def test_what_somebody_put_there_since_is_not_touched(folder):
    half_published(folder)
    (folder / "out" / "a.csv").write_text("the user's table, made meanwhile", "utf-8")
    assert settle(folder / "work" / JOURNAL) is None
    found = contents(folder / "out")
    assert found["a.csv"] == "the user's table, made meanwhile"
    assert found == OLD | {"a.csv": found["a.csv"]}


def test_without_leave_to_overwrite_nothing_is_replaced_whenever_it_dies(folder):
    put(folder, {"a.csv": "precious"})
    for at in range(1, MANY):
        code = die(folder, at, overwrite=0)
        assert settle(folder / "work" / JOURNAL) is None
        assert contents(folder / "out") == {"a.csv": "precious"}
        if code != DEATH:
            break


def test_outputs_that_are_all_there_are_kept_though_one_was_changed(folder):
    journal = folder / "work" / JOURNAL
    with Staging(journal=journal) as staging:
        for name in PUBLISHED:
            staging.path(folder / "out" / name).write_text("new", "utf-8")
        staging.commit("note")
    (folder / "out" / "a.csv").write_text("edited", "utf-8")
    assert settle(journal) == "note"
    assert settle(journal) == "note"
    assert contents(folder / "out") == {"a.tif": "new", "a.csv": "edited", "side/a.gpkg": "new"}


def test_leaving_without_commit_leaves_no_journal(folder):
    journal = folder / "work" / JOURNAL
    with Staging(journal=journal) as staging:
        staging.path(folder / "out" / "a.tif").write_text("new", "utf-8")
        assert journal.exists()
    assert contents(folder) == {}


def test_a_restore_that_fails_is_left_to_the_next(folder, monkeypatch):
    put(folder, OLD)
    journal = folder / "work" / JOURNAL
    replace, calls = Path.replace, []

    def stubborn(self, target):
        calls.append(target)
        if len(calls) > 5:
            raise PermissionError(13, "in use", str(target))
        return replace(self, target)

    with Staging(overwrite=True, journal=journal) as staging:
        for name in PUBLISHED:
            staging.path(folder / "out" / name).write_text(f"new {name}", "utf-8")
        monkeypatch.setattr(Path, "replace", stubborn)
        with pytest.raises(EngineError) as caught:
            staging.commit()
    assert caught.value.code is ErrorCode.OUTPUT_UNWRITABLE
    monkeypatch.undo()
    assert contents(folder / "out") != OLD
    assert settle(journal) is None
    assert contents(folder / "out") == OLD


def test_names_of_every_kind_survive_the_journal(tmp_path):
    name = os.fsdecode(b"W\xe4lder.tif")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("this file system wants names in Unicode")
    Publication(folders=(tmp_path / name,)).save(tmp_path / JOURNAL)
    assert Publication.load(tmp_path / JOURNAL).folders == (tmp_path / name,)


@pytest.mark.parametrize("text", ["", "{", '{"token": "'])
def test_a_journal_that_cannot_be_read_tells_nothing(tmp_path, text):
    (tmp_path / JOURNAL).write_text(text)
    assert settle(tmp_path / JOURNAL) is None
