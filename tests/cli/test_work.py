"""Runs shared out between processes, and what is left of those that were killed."""

import re
import time

import pytest


@pytest.fixture
def tall(scene):
    """A scene of three blocks."""
    return scene("tall ö.tif", height=2500, width=120)


@pytest.fixture
def how(model):
    return ("--model", model(), "--input-profile", "reflectance", "-q")


def files(folder):
    found = {p.name: p.read_bytes() for p in folder.iterdir()}
    found.pop("out.json")
    return found


def test_two_shards_and_the_rest_give_what_one_command_gives(start, swath, tall, how, tmp_path):
    work, one, two = (tmp_path / name for name in ("Blöcke hier", "one", "two"))
    one.mkdir()
    two.mkdir()
    assert swath("segment", tall, one / "out.tif", *how).code == 0
    words = ("segment", tall, two / "out.tif", *how, "--work", work)
    shards = [start(*words, "--shard", part) for part in ("1/2", "2/2")]
    assert [(p.communicate(timeout=60), p.returncode) for p in shards] == [(("", ""), 0)] * 2
    assert list(two.iterdir()) == []
    assert len(list(work.rglob("*.npy"))) == 3
    assert swath(*words).code == 0
    assert files(one) == files(two)
    assert list(work.iterdir()) == []
    labels = [job["label"] for job in swath("jobs", "list", "--json").json["jobs"]]
    assert sorted(labels) == ["tall ö", "tall ö", "tall ö 1/2", "tall ö 2/2"]


def test_a_shard_says_what_it_left_where(swath, tall, how, tmp_path):
    words = ("segment", tall, tmp_path / "out.tif", *how[:-1], "--work", "blocks", "--shard", "1/3")
    said = swath(*words)
    assert said.code == 0
    assert f"1 of 3 blocks are ready in {tmp_path / 'blocks'}." in said.err
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--shard", "1/2"),
        ("--work", "s3://bucket/blocks", "--shard", "1/2"),
        ("--work", "blocks", "--shard", "3/2"),
        ("--work", "blocks", "--shard", "0/2"),
        ("--work", "blocks", "--shard", "1"),
        ("--work", "blocks", "--shard", "one/two"),
    ],
)
def test_a_shard_that_cannot_be_is_refused(swath, tall, how, tmp_path, words):
    said = swath("segment", tall, "out.tif", *how, *words)
    assert (said.code, said.error) == (2, "REQUEST_INVALID")
    assert not [p for p in tmp_path.iterdir() if p.name in ("blocks", "s3:")]


def test_a_folder_with_the_blocks_of_another_run_is_refused(swath, tall, how):
    words = ("segment", tall, "out.tif", *how, "--work", "blocks")
    assert swath(*words, "--shard", "1/2").code == 0
    said = swath(*words, "--min-area", "50")
    assert (said.code, said.error) == (2, "REQUEST_INVALID")
    assert swath(*words).code == 0


@pytest.fixture
def killed(start, model, scene, tmp_path):
    """Kill a run that has finished a block."""

    def kill(*words):
        source = scene("big.tif", height=2500, width=500)
        how = ("--model", model(100), "--input-profile", "reflectance", *words)
        process = start("segment", source, tmp_path / "out.tif", *how)
        while not list(tmp_path.rglob("*.npy")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.kill()
        process.communicate()

    return kill


def test_the_blocks_of_a_killed_run_are_kept_and_cleaned(killed, swath, state):
    killed()
    assert swath("jobs", "clean", "--json").json == {"forgotten": [], "freed_bytes": 0}
    assert list(state.rglob("*.npy"))
    said = swath("jobs", "clean", "--all")
    megabytes = re.fullmatch(r"1 job forgotten, (\d+\.\d) MB freed\.\n", said.err)[1]
    assert float(megabytes) >= 0.5
    assert not list(state.rglob("*.npy"))


def test_the_blocks_in_a_folder_of_the_users_are_the_users(killed, swath, tmp_path):
    killed("--work", "blocks")
    row = swath("jobs", "list").out.splitlines()[1]
    assert "can be resumed" in row
    assert "until" not in row
    assert swath("jobs", "clean", "--all").code == 0
    assert list((tmp_path / "blocks").rglob("*.npy"))
