import errno
import os
import sys
from pathlib import Path

import pytest

from engine.contract.errors import EngineError, ErrorCode
from engine.io.outputs import check_outputs
from engine.io.staging import Staging, translate_os_error, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def code_of(caught):
    return caught.value.code


@pytest.fixture
def folder(tmp_path):
    """A folder as users have them: with a space and a letter beyond ASCII."""
    place = tmp_path / "Wälder 2024"
    place.mkdir()
    return place


class TestCommit:
    def test_files_appear_under_their_names_together(self, folder):
        with Staging() as staging:
            for name in ("a.tif", "a.tif.aux.xml", "a.qml"):
                staging.path(folder / name).write_text(name)
            assert all(name.startswith(".") for name in names(folder))
            staging.commit()
        assert names(folder) == ["a.qml", "a.tif", "a.tif.aux.xml"]
        assert (folder / "a.tif").read_text() == "a.tif"

    def test_temporary_lies_in_the_final_folder_and_keeps_the_suffix(self, folder):
        with Staging() as staging:
            temporary = staging.path(folder / "a.gpkg")
        assert temporary.parent == folder
        assert temporary.suffix == ".gpkg"

    def test_a_name_as_long_as_the_file_system_allows(self, folder):
        final = folder / ("x" * 251 + ".tif")
        with Staging() as staging:
            staging.path(final).write_bytes(b"1")
            staging.commit()
        assert final.read_bytes() == b"1"

    def test_the_first_file_asked_for_is_named_last(self, folder, monkeypatch):
        order = []
        replace = Path.replace

        def spy(self, target):
            order.append(Path(target).name)
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", spy)
        with Staging() as staging:
            for name in ("a.tif", "a.qml", "a.csv"):
                staging.path(folder / name).write_bytes(b"")
            staging.commit()
        assert order == ["a.qml", "a.csv", "a.tif"]

    def test_the_same_name_is_the_same_temporary(self, folder):
        with Staging() as staging:
            assert staging.path(folder / "a.tif") == staging.path(folder / "a.tif")

    def test_a_link_stays_a_link(self, folder):
        (folder / "disk").mkdir()
        real = folder / "disk" / "real.tif"
        real.write_bytes(b"old")
        link = folder / "a.tif"
        try:
            link.symlink_to(real)
        except OSError:
            pytest.skip("this user may not make links")
        with Staging(overwrite=True) as staging:
            staging.path(link).write_bytes(b"new")
            staging.commit()
        assert link.is_symlink()
        assert real.read_bytes() == b"new"


class TestLeavingWithoutCommit:
    def test_removes_everything_with_the_leftovers_of_libraries(self, folder):
        (folder / "mine.txt").write_text("keep")
        with Staging() as staging:
            temporary = staging.path(folder / "a.gpkg")
            for ending in ("", "-journal", "-wal", ".aux.xml", ".ovr.tmp"):
                temporary.with_name(temporary.name + ending).write_bytes(b"x")
        assert names(folder) == ["mine.txt"]

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
    def test_lets_the_error_pass_and_removes_everything(self, folder, error):
        staging = Staging()
        staging.path(folder / "a.tif").write_bytes(b"x")
        with pytest.raises(error), staging:
            raise error
        assert names(folder) == []

    def test_leaves_another_run_alone(self, folder):
        with Staging() as other:
            theirs = other.path(folder / "b.tif")
            theirs.write_bytes(b"x")
            with Staging() as staging:
                staging.path(folder / "a.tif").write_bytes(b"x")
            assert theirs.exists()


class TestFailingCommit:
    @pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), KeyboardInterrupt()])
    @pytest.mark.parametrize("failing", range(1, 7))
    def test_midway_brings_everything_back(self, folder, monkeypatch, error, failing):
        (folder / "a.tif").write_text("old tif")
        (folder / "a.csv").write_text("old csv")
        replace, calls = Path.replace, []

        def fail(self, target):
            calls.append(target)
            if len(calls) == failing:
                raise error
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", fail)
        with Staging(overwrite=True) as staging:
            for name in ("a.tif", "a.qml", "a.csv"):
                staging.path(folder / name).write_text("new")
            if failing > 5:
                staging.commit()
                return
            with pytest.raises((EngineError, KeyboardInterrupt)):
                staging.commit()
        assert names(folder) == ["a.csv", "a.tif"]
        assert (folder / "a.tif").read_text() == "old tif"
        assert (folder / "a.csv").read_text() == "old csv"

    def test_an_interrupt_after_a_rename_counts_as_a_rename(self, folder, monkeypatch):
        replace = Path.replace

        def late(self, target):
            replace(self, target)
            raise KeyboardInterrupt

        with Staging() as staging:
            staging.path(folder / "a.tif").write_text("new")
            monkeypatch.setattr(Path, "replace", late)
            with pytest.raises(KeyboardInterrupt):
                staging.commit()
        assert names(folder) == []

    def test_a_file_that_appeared_meanwhile_is_not_replaced(self, folder):
        with Staging() as staging:
            staging.path(folder / "a.tif").write_text("new")
            staging.path(folder / "a.csv").write_text("new")
            (folder / "a.tif").write_text("somebody's")
            with pytest.raises(EngineError) as caught:
                staging.commit()
        assert code_of(caught) is ErrorCode.OUTPUT_EXISTS
        assert names(folder) == ["a.tif"]
        assert (folder / "a.tif").read_text() == "somebody's"

    def test_a_temporary_that_has_gone_is_an_error(self, folder):
        (folder / "a.tif").write_text("old")
        with Staging(overwrite=True) as staging:
            staging.path(folder / "a.tif")
            with pytest.raises(EngineError) as caught:
                staging.commit()
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE
        assert (folder / "a.tif").read_text() == "old"

    def test_a_database_that_was_opened_meanwhile_is_not_replaced(self, folder):
        (folder / "a.gpkg").write_text("old")
        with Staging(overwrite=True) as staging:
            staging.path(folder / "a.gpkg").write_text("new")
            (folder / "a.gpkg-wal").write_text("log")
            with pytest.raises(EngineError) as caught:
                staging.commit()
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE
        assert (folder / "a.gpkg").read_text() == "old"


def test_sidecars_of_a_replaced_raster_go_with_it(folder):
    for name in ("a.tif", "a.tif.ovr", "a.tif.aux.xml", "b.tif.aux.xml"):
        (folder / name).write_text("old")
    with Staging(overwrite=True) as staging:
        staging.path(folder / "a.tif").write_text("new")
        staging.commit()
    assert names(folder) == ["a.tif", "b.tif.aux.xml"]


class TestCheckOutputs:
    def test_accepts_new_files_and_leaves_no_trace(self, folder):
        check_outputs([folder / "a.tif", folder / "b.TIFF", folder / "c.gpkg"], overwrite=False)
        assert names(folder) == []

    def test_refuses_to_overwrite(self, folder):
        (folder / "a.tif").touch()
        with pytest.raises(EngineError) as caught:
            check_outputs([folder / "a.tif"], overwrite=False)
        assert code_of(caught) is ErrorCode.OUTPUT_EXISTS
        assert "a.tif" in caught.value.message
        assert "--overwrite" in caught.value.hint
        check_outputs([folder / "a.tif"], overwrite=True)

    def test_refuses_to_overwrite_a_sidecar_of_the_same_name(self, folder):
        (folder / "a.json").write_text("the user's own")
        with pytest.raises(EngineError) as caught:
            check_outputs([folder / "a.tif"], overwrite=False, sidecars=[folder / "a.json"])
        assert code_of(caught) is ErrorCode.OUTPUT_EXISTS

    @pytest.mark.parametrize("name", ["a.png", "a", "a.shp", ".tif"])
    def test_refuses_other_formats(self, folder, name):
        with pytest.raises(EngineError) as caught:
            check_outputs([folder / name], overwrite=False)
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE

    def test_refuses_a_name_that_is_too_long(self, folder):
        with pytest.raises(EngineError) as caught:
            check_outputs([folder / ("x" * 300 + ".tif")], overwrite=False)
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE

    def test_refuses_a_missing_folder(self, folder):
        with pytest.raises(EngineError, match="no such folder") as caught:
            check_outputs([folder / "missing" / "a.tif"], overwrite=True)
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE

    def test_refuses_a_folder_of_that_name(self, folder):
        (folder / "a.tif").mkdir()
        with pytest.raises(EngineError) as caught:
            check_outputs([folder / "a.tif"], overwrite=True)
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE

    def test_refuses_an_input(self, folder):
        scene = folder / "a.tif"
        scene.touch()
        spelt_otherwise = f"{folder}{os.sep}.{os.sep}a.tif|layername=x"
        with pytest.raises(EngineError, match="input") as caught:
            check_outputs([scene], overwrite=True, inputs=["/vsizip/x.zip/b", spelt_otherwise])
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE

    def test_refuses_two_outputs_of_one_name(self, folder):
        with pytest.raises(EngineError, match="Two outputs"):
            check_outputs([folder / "a.tif", folder / "a.tif"], overwrite=True)

    @pytest.mark.parametrize("overwrite", [True, False])
    @pytest.mark.parametrize("ending", ["-wal", "-journal"])
    def test_refuses_a_database_that_is_open(self, folder, ending, overwrite):
        (folder / f"a.gpkg{ending}").touch()
        with pytest.raises(EngineError, match="open in another program") as caught:
            check_outputs([folder / "a.gpkg"], overwrite=overwrite)
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE

    @pytest.mark.skipif(
        sys.platform == "win32" or os.geteuid() == 0, reason="this user may write anywhere"
    )
    def test_refuses_a_folder_without_permission(self, folder):
        folder.chmod(0o500)
        try:
            with pytest.raises(EngineError) as caught:
                check_outputs([folder / "a.tif"], overwrite=False)
        finally:
            folder.chmod(0o700)
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE

    @pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system of that kind")
    def test_refuses_a_file_system_that_takes_no_files(self):
        with pytest.raises(EngineError) as caught:
            check_outputs([Path("/proc/a.tif")], overwrite=False)
        assert code_of(caught) is ErrorCode.OUTPUT_UNWRITABLE


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ErrorCode.DISK_FULL),
        (errno.EDQUOT, ErrorCode.DISK_FULL),
        (errno.EACCES, ErrorCode.OUTPUT_UNWRITABLE),
        (errno.EROFS, ErrorCode.OUTPUT_UNWRITABLE),
        (errno.EIO, ErrorCode.OUTPUT_UNWRITABLE),
    ],
)
def test_operating_system_errors_become_sentences(number, code):
    error = translate_os_error(OSError(number, os.strerror(number)), Path("/x/a.tif"))
    assert error.code is code
    assert "/x" in error.message.replace("\\", "/")
    assert error.message.endswith(".")
    assert error.hint.endswith(".")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the full device")
def test_text_on_a_full_disk():
    with pytest.raises(EngineError) as caught:
        write_text(Path("/dev/full"), "x")
    assert code_of(caught) is ErrorCode.DISK_FULL


def test_text_has_the_same_bytes_everywhere(folder):
    write_text(folder / "a.csv", "Wälder\n1\n")
    assert (folder / "a.csv").read_bytes() == "Wälder\n1\n".encode()
