"""Hundreds of broken and hostile model files: every one gets an answer, none runs a program.

Each group runs in a process of its own (``fuzz_run.py``), so that a crash is no crash of the tests
and names the case in which it came.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.contract.errors import EngineError, ErrorCode

PROGRAM = Path(__file__).with_name("fuzz_run.py")
LIMIT_S = 250
"""For one group; far more than it takes."""
MOST_DEATHS = 5
MOST_MIB = 1500
"""Of a whole group, all of whose files are small."""
TORCH = ("torchscript", "pt2", "safetensors", "state_dict")


def answers(group, folder):
    """What came of every case of a group, and the most memory that it took."""
    folder.mkdir()
    found, peak, first = [], 0, 0
    for _ in range(MOST_DEATHS):
        log = folder / f"from {first}.jsonl"
        ended = lived(group, folder, first, log)
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        found += [line for line in lines if "exit" in line]
        peak = max([peak, *(line["peak_mib"] for line in lines if "peak_mib" in line)])
        if ended == 0:
            return found, peak
        begun = [line for line in lines if "begin" in line]
        assert begun, f"{group} did not start: {(folder / 'stderr').read_text('utf-8')}"
        found.append({"name": begun[-1]["begin"], "exit": f"the process ended with {ended}"})
        first = begun[-1]["number"] + 1
    return found, peak


def lived(group, folder, first, log):
    """The exit status of one process; None when it had to be ended."""
    command = [sys.executable, str(PROGRAM), group, str(folder), str(first)]
    with log.open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            return process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()
            process.wait()


def wrong_with(answer):
    """Why an answer is not good enough; None when it is."""
    if answer["exit"] not in (0, 1, 2):
        return answer["exit"]
    if answer["ran"]:
        return "it ran a program"
    if answer["exit"] == 0:
        return "it was not refused" if answer["refused"] else None
    if answer["error"] in (None, "INTERNAL") or "Traceback" in answer["text"]:
        return answer["text"]
    return None if "hint: " in answer["text"] else "no hint"


def all_answers(groups, folder):
    with ThreadPoolExecutor(len(groups)) as pool:
        runs = pool.map(lambda group: answers(group, folder / group), groups)
        return dict(zip(groups, runs, strict=True))


def check(found, at_least):
    cases, peak = found
    bad = {answer["name"]: why for answer in cases if (why := wrong_with(answer)) is not None}
    assert bad == {}
    assert len(cases) >= at_least
    assert peak <= MOST_MIB


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return all_answers(("onnx", "cards"), tmp_path_factory.mktemp("broken"))


@pytest.mark.parametrize(("group", "at_least"), [("onnx", 200), ("cards", 200)])
def test_every_broken_file_gets_an_answer(plain, group, at_least):
    check(plain[group], at_least)


def test_some_of_them_still_are_models(plain):
    """Else nothing but the reading of files would have been tried."""
    for cases, _peak in plain.values():
        assert sum(answer["exit"] == 0 for answer in cases) > 20


@pytest.fixture(scope="module")
def with_torch(tmp_path_factory):
    pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")
    return all_answers(TORCH, tmp_path_factory.mktemp("broken"))


@pytest.mark.torch
def test_weights_of_encoders_run_nothing_either(tmp_path):
    """Those are read without a card of their own, from files that PyTorch's pickles are in."""
    pytest.importorskip("torch", reason="needs PyTorch (scripts/environment --torch)")
    sys.path.insert(0, str(PROGRAM.parent))
    try:
        from broken_torch_models import pickles  # noqa: PLC0415 - needs PyTorch
    finally:
        sys.path.remove(str(PROGRAM.parent))
    from engine.models.encoders.weights import read_state  # noqa: PLC0415 - needs PyTorch

    for name, content in pickles(tmp_path / "canary").items():
        place = tmp_path / "weights.pt"
        place.write_bytes(content)
        with pytest.raises(EngineError) as caught:
            read_state(place)
        assert caught.value.code is ErrorCode.MODEL_INVALID, name
        assert not (tmp_path / "canary").exists(), name


@pytest.mark.torch
@pytest.mark.parametrize("group", TORCH)
def test_every_broken_pytorch_file_gets_an_answer(with_torch, group):
    check(with_torch[group], 10)
