import os
import sys

import pypi_simple
import pytest

from engine.models.index_settings import DEFAULT_TIMEOUT, load_settings

ONE, TWO, THREE = (f"https://{n}.example/simple" for n in ("one", "two", "three"))
NAME = "pip.ini" if sys.platform == "win32" else "pip.conf"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An account without any configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    system = [tmp_path / "system" / "pip" / NAME]
    monkeypatch.setattr("engine.models.index_settings._system_files", lambda _env: system)
    return tmp_path


@pytest.fixture
def load(home):
    def go(**variables):
        mine = str(home / "mine")
        return load_settings({"XDG_CONFIG_HOME": mine, "APPDATA": mine} | variables)

    return go


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def conf(home):
    """Where pip's files are, from the weakest to the strongest."""
    return {
        "system": home / "system" / "pip" / NAME,
        "user": home / "mine" / "pip" / NAME,
        "environment": home / "venv" / NAME,
    }


def test_nothing_set_means_the_standard_index(load):
    settings = load()
    assert settings.indexes == (pypi_simple.PYPI_SIMPLE_ENDPOINT,)
    assert settings.timeout == DEFAULT_TIMEOUT
    assert settings.cert is None


def test_a_file_says_it_all(load, conf):
    write(
        conf["user"],
        f"[global]\nindex-url = {ONE}\nextra_index_url = {TWO}\n    {THREE}\ncert = /ca.pem\n"
        "proxy = http://proxy:3128\ntimeout = 7\nfind-links = /wheels\n"
        "[install]\ntrusted-host = one.example two.example:8443\n",
    )
    settings = load()
    assert settings.indexes == (ONE, TWO, THREE)
    assert settings.cert == "/ca.pem"
    assert settings.proxy == "http://proxy:3128"
    assert settings.timeout == 7
    assert settings.find_links == ("/wheels",)
    assert settings.trusted_hosts == ("one.example", "two.example:8443")


@pytest.mark.skipif(sys.platform == "darwin", reason="pip has another place there")
def test_nearer_files_win(load, conf, home):
    write(conf["system"], f"[global]\nindex-url = {ONE}\ncert = /system.pem\n")
    assert load().indexes == (ONE,)
    write(conf["user"], f"[global]\nindex-url = {TWO}\n")
    assert load().indexes == (TWO,)
    write(conf["environment"], f"[global]\nindex-url = {THREE}\n")
    assert load().indexes == (THREE,)
    assert load().cert == "/system.pem"
    write(home / "own.conf", "[global]\nindex-url = https://four.example/simple\n")
    chosen = load(PIP_CONFIG_FILE=str(home / "own.conf"))
    assert chosen.indexes == ("https://four.example/simple",)
    assert load(PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=ONE).cert is None


def test_variables_win_over_files(load, conf):
    write(conf["user"], f"[global]\nindex-url = {ONE}\ncert = /file.pem\nno-index = false\n")
    settings = load(
        PIP_INDEX_URL=TWO, PIP_CERT="/env.pem", PIP_DEFAULT_TIMEOUT="180", PIP_FIND_LINKS="a  b"
    )
    assert settings.indexes == (TWO,)
    assert settings.cert == "/env.pem"
    assert settings.timeout == 180
    assert settings.find_links == ("a", "b")


@pytest.mark.parametrize(
    ("variables", "indexes"),
    [
        ({"UV_DEFAULT_INDEX": ONE, "UV_INDEX_URL": TWO}, (ONE,)),
        ({"UV_INDEX_URL": TWO}, (TWO,)),
        ({"UV_DEFAULT_INDEX": f"own={ONE}", "UV_INDEX": f"{TWO} x={THREE}"}, (ONE, TWO, THREE)),
        ({"UV_INDEX_URL": ONE, "UV_EXTRA_INDEX_URL": f"{ONE} {TWO}"}, (ONE, TWO)),
        ({"PIP_INDEX_URL": ONE, "UV_DEFAULT_INDEX": TWO}, (ONE,)),
        ({"PIP_INDEX_URL": ONE, "PIP_NO_INDEX": "1"}, ()),
        ({"UV_INDEX_URL": f"{ONE}?a=b"}, (f"{ONE}?a=b",)),
    ],
)
def test_uv_and_pip_together(load, variables, indexes):
    assert load(**variables).indexes == indexes


def test_uv_find_links(load):
    assert load(PIP_INDEX_URL=ONE, UV_FIND_LINKS="/a /b").find_links == ("/a", "/b")


@pytest.mark.parametrize("text", ["not an ini file", "[global\nindex-url=x", "\xff\xfe"])
def test_a_broken_file_is_passed_over(load, conf, text):
    write(conf["user"], text)
    assert load(PIP_INDEX_URL=ONE).indexes == (ONE,)


def test_an_odd_timeout_is_no_timeout(load):
    assert load(PIP_INDEX_URL=ONE, PIP_TIMEOUT="soon").timeout == DEFAULT_TIMEOUT
    assert load(PIP_INDEX_URL=ONE, PIP_TIMEOUT="-3").timeout == DEFAULT_TIMEOUT
