import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from swath.engine.contract.errors import CancelledError, EngineError, ErrorCode
from swath.plugin import process
from swath.plugin.process import Launch, engine_environment, ensure_engine, find_engine

MODULE = ("-I", "-X", "utf8", "-m", "engine.server")


@pytest.fixture
def launch(no_engine, state, stand_in):
    return Launch(setting=str(stand_in), plugin_folder=no_engine, state=state)


@pytest.mark.parametrize(
    "name",
    [
        *("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX"),
        *("PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH", "OGR_SKIP", "CPL_DEBUG"),
        *("QGIS_PREFIX_PATH", "QT_PLUGIN_PATH", "O4W_QT_PREFIX", "OSGEO4W_ROOT", "GISBASE"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "Proj_Lib"),
    ],
)
def test_what_belongs_to_qgis_stays_behind(name):
    assert name not in engine_environment({name: "/usr/share/qgis", "HOME": "/home/me"})


@pytest.mark.parametrize(
    "name",
    [
        *("HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_INDEX_URL"),
        *("UV_INDEX_URL", "PATH", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES", "AWS_PROFILE"),
        *("SWATH_STATE", "LANG", "SystemRoot"),
    ],
)
def test_what_belongs_to_the_user_comes_along(name):
    assert engine_environment({name: "value"})[name] == "value"


def test_qgis_own_programs_leave_the_path():
    path = os.pathsep.join(["/OSGeo4W/bin", "/usr/bin", "/OSGeo4W/apps/qgis/bin"])
    assert engine_environment({"OSGEO4W_ROOT": "/OSGeo4W", "PATH": path})["PATH"] == "/usr/bin"


def make_venv(folder):
    """As venv makes it: Python is a link to one that lies elsewhere."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to("/usr/bin/env")
    (folder / "bin" / "swath").write_text("#!python")
    return folder / "bin" / "python"


@pytest.mark.parametrize("chosen", ["venv", "venv/bin/python", "venv/bin/swath", "linked/swath"])
def test_the_setting_may_name_the_environment_its_python_or_its_program(
    chosen, tmp_path, no_engine, state
):
    python = make_venv(tmp_path / "venv")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "swath").symlink_to(tmp_path / "venv" / "bin" / "swath")
    found = find_engine(Launch(str(tmp_path / chosen), no_engine, state))
    assert found == (str(python), *MODULE)


def test_the_program_alone_is_enough(tmp_path, no_engine, state):
    program = tmp_path / "swath"
    program.write_text("#!python")
    assert find_engine(Launch(str(program), no_engine, state)) == (str(program), "serve")


def test_the_variable_comes_after_the_setting(tmp_path, no_engine, state):
    first, second = make_venv(tmp_path / "a"), make_venv(tmp_path / "b")
    environ = {"SWATH_ENGINE": str(second)}
    assert find_engine(Launch(str(first), no_engine, state), environ)[0] == str(first)
    assert find_engine(Launch("", no_engine, state), environ)[0] == str(second)


def test_beside_a_linked_plugin_means_beside_the_checkout(tmp_path, state):
    checkout = tmp_path / "checkout"
    python = make_venv(checkout / ".venv")
    link = tmp_path / "swath"
    link.symlink_to(checkout)
    assert find_engine(Launch("", link, state), {})[0] == str(python)


def test_without_an_engine_the_error_says_what_to_do(no_engine, state):
    with pytest.raises(EngineError) as caught:
        find_engine(Launch("", no_engine, state), {})
    assert caught.value.code is ErrorCode.ENGINE_NOT_FOUND
    assert "Choose engine" in caught.value.hint


def test_a_wrong_setting_is_named(no_engine, state):
    with pytest.raises(EngineError, match=r"swath/engine.*nowhere") as caught:
        find_engine(Launch("/nowhere/python", no_engine, state), {})
    assert caught.value.code is ErrorCode.ENGINE_NOT_FOUND


def test_starts_with_a_clean_environment_for_this_process(launch, state, monkeypatch):
    for name in ("PROJ_LIB", "PROJ_DATA", "PYTHONPATH", "GDAL_DATA", "LD_PRELOAD"):
        monkeypatch.setenv(name, "")
    engine = ensure_engine(launch).hello()
    assert engine.pid != os.getpid()
    started_with = json.loads((state / "environment.json").read_text())
    assert not {"PROJ_LIB", "PROJ_DATA", "PYTHONPATH", "GDAL_DATA", "LD_PRELOAD"} & {*started_with}
    arguments = json.loads((state / "arguments.json").read_text())
    assert arguments == [*MODULE, "--state", str(state), "--for-pid", str(os.getpid())]


def test_a_running_engine_is_used_and_told_who_needs_it(launch, state):
    first, second = ensure_engine(launch), ensure_engine(launch)
    assert first.hello().pid == second.hello().pid
    tenants = json.loads((state / "tenants.json").read_text())
    assert tenants[-1] == {"pid": os.getpid(), "name": "QGIS"}


def test_a_connection_file_left_behind_does_no_harm(launch, state):
    gone = {"url": "http://127.0.0.1:9", "token": "x", "pid": 1, "protocol": "1.0", "version": "0"}
    (state / "connection.json").write_text(json.dumps(gone))
    assert ensure_engine(launch).hello().pid != 1


def test_half_a_connection_file_does_no_harm(launch, state):
    (state / "connection.json").write_text('{"url": "http://127')
    assert ensure_engine(launch).hello().version == "0.0.stand-in"


def test_an_engine_that_dies_at_its_start_has_the_last_word(launch, monkeypatch):
    monkeypatch.setenv("SWATH_STAND_IN", "crash")
    with pytest.raises(EngineError, match="the disk is on fire") as caught:
        ensure_engine(launch)
    assert caught.value.code is ErrorCode.ENGINE_START_FAILED


def test_only_the_last_start_is_quoted(launch, state, monkeypatch):
    (state / "logs").mkdir()
    (state / "logs" / "start.log").write_text("an old story\n")
    monkeypatch.setenv("SWATH_STAND_IN", "crash")
    with pytest.raises(EngineError) as caught:
        ensure_engine(launch)
    assert "an old story" not in str(caught.value)


def test_an_engine_that_is_about_to_come_or_go_is_waited_for(launch, state, monkeypatch):
    monkeypatch.setenv("SWATH_STAND_IN", "locked")
    assert ensure_engine(launch).hello().version == "0.0.stand-in"
    assert (state / "tried").exists()


def test_an_engine_that_leaves_while_it_is_asked_is_replaced(launch, state, monkeypatch):
    leaving = ensure_engine(launch).hello().pid
    refuse = process.EngineClient.register

    def too_late(client, tenant):
        if client.connection.pid == leaving:
            raise EngineError(ErrorCode.ENGINE_UNREACHABLE, "It has just left.")
        refuse(client, tenant)

    monkeypatch.setattr(process.EngineClient, "register", too_late)
    assert ensure_engine(launch).hello().pid != leaving
    os.kill(leaving, signal.SIGTERM)


def test_two_at_once_share_one_engine(launch):
    with ThreadPoolExecutor(2) as threads:
        engines = list(threads.map(lambda _: ensure_engine(launch).hello().pid, range(2)))
    assert engines[0] == engines[1]


def test_an_engine_that_stays_mute_is_given_up_and_ended(launch, monkeypatch):
    monkeypatch.setenv("SWATH_STAND_IN", "mute")
    monkeypatch.setattr(process, "START_SECONDS", 1.0)
    with pytest.raises(EngineError, match="did not answer within 1 second") as caught:
        ensure_engine(launch)
    assert caught.value.code is ErrorCode.ENGINE_START_FAILED
    process._started[-1].wait(5)


def test_waiting_for_the_start_can_be_cancelled(launch, monkeypatch):
    monkeypatch.setenv("SWATH_STAND_IN", "mute")
    begin = time.monotonic()
    with pytest.raises(CancelledError):
        ensure_engine(launch, lambda: time.monotonic() > begin + 0.3)
    assert time.monotonic() - begin < 2


def test_an_engine_of_another_generation_is_refused(launch, monkeypatch):
    monkeypatch.setenv("SWATH_STAND_IN_PROTOCOL", "2.0")
    with pytest.raises(EngineError, match=r"protocol 2\.0") as caught:
        ensure_engine(launch)
    assert caught.value.code is ErrorCode.PROTOCOL_MISMATCH


def test_a_state_folder_that_cannot_be_made_is_said(launch, tmp_path, no_engine, stand_in):
    (tmp_path / "file").write_text("")
    blocked = Launch(str(stand_in), no_engine, tmp_path / "file" / "state")
    with pytest.raises(EngineError) as caught:
        ensure_engine(blocked)
    assert caught.value.code is ErrorCode.STATE_UNUSABLE


def test_a_program_that_is_none_is_said(launch, tmp_path, no_engine, state):
    text = tmp_path / "python"
    text.write_text("not a program")
    with pytest.raises(EngineError, match="could not be started") as caught:
        ensure_engine(Launch(str(text), no_engine, state))
    assert caught.value.code is ErrorCode.ENGINE_START_FAILED


def test_never_the_python_that_qgis_calls_its_own(launch, monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/qgis-bin.exe")
    seen = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: seen.append(a[0]) or popen(*a, **k))
    ensure_engine(launch)
    assert seen[0][0] == launch.setting
