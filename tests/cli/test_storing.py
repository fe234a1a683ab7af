"""Models that come, are checked, move and go, as their users type it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def bound(model, state, tmp_path):
    """A bundle with a model that must not be used commercially, and the model's id."""
    path = model()
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    card |= {"license": "CC-BY-NC-4.0", "swath:data_license": "CC BY 4.0"}
    kept = state / "models" / "cards" / "mean.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(card), encoding="utf-8")
    return path


@pytest.fixture
def bundle(swath, bound, tmp_path):
    target = tmp_path / "Modelle ä.zip"
    said = swath("models", "bundle", "mean", "landcover", target)
    assert said.code == 0
    assert said.out.strip() == str(target)
    assert "landcover comes with Swath" in said.err
    return target


@pytest.fixture
def there(tmp_path):
    """The environment of another machine, without network."""
    return {"SWATH_STATE": str(tmp_path / "there"), "PIP_NO_INDEX": "1"}


def test_a_kept_card_is_listed_and_runs(swath, bound, scene, tmp_path):
    listed = {m["id"]: m for m in swath("models", "list", "--json").json["models"]}
    assert listed["mean"]["installed"]
    assert "CC-BY-NC-4.0 (no commercial use)" in swath("models", "show", "mean").out
    said = swath("segment", scene(), tmp_path / "out.tif", "--model", "mean")
    assert said.code == 0
    assert "Licence CC-BY-NC-4.0 (no commercial use); trained on data under: CC BY 4.0" in said.err


def test_a_bundle_is_imported_once_its_terms_are_accepted(swath, bundle, scene, tmp_path, there):
    said = swath("models", "import", bundle, **there)
    assert (said.code, said.error) == (2, "LICENCE_NOT_ACCEPTED")
    assert "https://creativecommons.org/licenses/by-nc/4.0/" in said.err
    assert f"`swath models import {bundle.name} --accept-licence`" in said.err
    assert "mean" not in swath("models", "list", **there).out
    assert swath("models", "import", bundle, "--accept-licence", **there).code == 0
    assert "accepted 2" in swath("models", "show", "mean", **there).out
    assert swath("models", "import", bundle, **there).code == 0
    said = swath("segment", scene(), tmp_path / "out.tif", "--model", "mean", **there)
    assert said.code == 0
    assert (tmp_path / "out.tif").exists()


def test_a_model_whose_terms_are_open_does_not_run(swath, bundle, scene, tmp_path, there):
    swath("models", "import", bundle, "--accept-licence", **there)
    (tmp_path / "there" / "models" / "licences" / "mean.json").unlink()
    said = swath("segment", scene(), tmp_path / "out.tif", "--model", "mean", **there)
    assert (said.code, said.error) == (2, "LICENCE_NOT_ACCEPTED")
    assert not (tmp_path / "out.tif").exists()
    said = swath("models", "install", "mean", **there)
    assert (said.code, said.error) == (2, "LICENCE_NOT_ACCEPTED")
    assert "swath models install mean --accept-licence" in said.err
    assert swath("models", "install", "mean", "--accept-licence", **there).code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminal")
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2)])
def test_at_a_terminal_the_user_is_asked(bundle, environment, there, answer, code):
    import pty  # noqa: PLC0415 - POSIX only

    ours, theirs = pty.openpty()
    order = [sys.executable, "-I", "-m", "engine.cli", "models", "import", str(bundle)]
    run = subprocess.Popen(
        order, env={**environment, **there}, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    said = b""
    while not said.endswith(b"\n") or run.poll() is None:
        try:
            said += os.read(ours, 1000)
        except OSError:
            break
    run.communicate()
    os.close(ours)
    assert run.returncode == code
    assert b"Do you accept the terms of mean?" in said
    assert (b"LICENCE_NOT_ACCEPTED" in said) == (answer == "n")


def test_installed_models_are_checked(swath, bundle, tmp_path, there):
    swath("models", "import", bundle, "--accept-licence", **there)
    found = swath("models", "verify", "--json", **there)
    assert found.code == 0
    assert found.json["ok"]
    rows = {m["id"]: m for m in found.json["models"]}
    assert rows["mean"]["state"] == rows["landcover"]["state"] == "ok"
    with Path(rows["mean"]["path"]).open("r+b") as file:
        file.write(b"?")
    said = swath("models", "verify", **there)
    assert said.code == 1
    assert any(line.split()[:2] == ["mean", "damaged"] for line in said.out.splitlines())
    assert "Import its bundle again" in said.err
    assert swath("models", "verify", "landcover", **there).code == 0
    said = swath("models", "verify", "clouds-6band-l1c", "--json", **there)
    assert (said.code, said.json["models"][0]["state"]) == (1, "missing")
    assert swath("models", "import", bundle, **there).code == 0
    assert swath("models", "verify", **there).code == 0


def test_an_imported_model_is_removed(swath, bundle, bound, tmp_path, there):
    swath("models", "import", bundle, "--accept-licence", **there)
    gone = swath("models", "remove", "mean", "--json", **there)
    assert gone.code == 0
    assert gone.json["freed_bytes"] == bound.stat().st_size
    assert [row["id"] for row in gone.json["removed"]] == ["mean"]
    said = swath("models", "remove", "mean", **there)
    assert (said.code, said.error) == (2, "MODEL_NOT_FOUND")


def test_only_what_is_the_stores_own_is_removed(swath, bound):
    said = swath("models", "remove", "buildings")
    assert (said.code, said.error) == (2, "REQUEST_INVALID")
    assert "comes with Swath" in said.err
    said = swath("models", "remove", bound)
    assert (said.code, said.error) == (2, "REQUEST_INVALID")
    said = swath("models", "remove", "mean")
    assert said.code == 0
    assert "yours and stays" in said.out
    assert bound.exists()
    for words in ([], ["--all", "mean"]):
        said = swath("models", "remove", *words)
        assert (said.code, said.error) == (2, "REQUEST_INVALID")


def test_everything_is_removed(swath, bundle, tmp_path, there):
    swath("models", "import", bundle, "--accept-licence", **there)
    archives = tmp_path / "there" / "models" / "archives" / "old-1.0"
    archives.mkdir(parents=True)
    (archives / "old.whl").write_bytes(bytes(1000))
    gone = swath("models", "remove", "--all", "--json", **there).json
    assert [row["id"] for row in gone["removed"]] == ["mean"]
    assert gone["freed_bytes"] > 1000
    assert not (archives / "old.whl").exists()


def test_the_licence_stands_before_the_fetching(swath, model):
    said = swath("models", "install", model())
    assert said.code == 0
    assert said.err.splitlines()[0].startswith("model")
    assert "CC0-1.0" in said.err
    assert swath("models", "install", model(), "--quiet").err == ""


def test_a_bundle_of_other_bytes(swath, bundle, there):
    data = bytearray(bundle.read_bytes())
    data[data.find(b"mean/model.onnx") + 40] ^= 1
    bundle.write_bytes(data)
    said = swath("models", "import", bundle, "--accept-licence", **there)
    assert said.code == 2
    assert said.error in ("MODEL_INVALID", "MODEL_HASH_MISMATCH")
    assert "mean" not in swath("models", "list", **there).out
