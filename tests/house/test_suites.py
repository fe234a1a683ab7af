"""The sum under the tests says no less than what happened."""

import importlib.util
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = '<properties><property name="shared" value="yes"/></properties>'


@pytest.fixture(scope="module")
def suites():
    spec = importlib.util.spec_from_file_location("suites", CHECKOUT / "scripts" / "suites.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["suites"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["suites"]


def report(folder: Path, *cases: str) -> Path:
    path = folder / "suite.xml"
    body = "".join(f"<testcase>{case}</testcase>" for case in cases)
    path.write_text(f"<testsuites><testsuite>{body}</testsuite></testsuites>", "utf-8")
    return path


def test_counts_each_kind_of_end(suites, tmp_path):
    path = report(tmp_path, "", "", "<failure/>", "<error/>", "<skipped/>", SHARED + "<skipped/>")
    assert suites.read_report(path, 1) == suites.Count(passed=2, failed=2, skipped=2, shared=1)


@pytest.mark.parametrize("status", [1, 124, 139, -11])
def test_a_crash_after_passing_tests_is_a_failure(suites, tmp_path, status):
    assert suites.read_report(report(tmp_path, ""), status) == suites.Count(passed=1, failed=1)


@pytest.mark.parametrize("status", [0, 5])
def test_no_tests_is_a_failure(suites, tmp_path, status):
    assert suites.read_report(report(tmp_path), status).failed == 1
    assert suites.read_report(tmp_path / "missing.xml", status).failed == 1


def test_a_torn_report_is_a_failure(suites, tmp_path):
    path = tmp_path / "torn.xml"
    path.write_text("<testsuites><testcase>", "utf-8")
    assert suites.read_report(path, 0).failed == 1


def test_the_last_line_is_the_plain_one(suites):
    assert str(suites.Count(3, 0, 1)) == "3 passed, 0 failed, 1 skipped"


def run_files(suites, monkeypatch, folder, code, *options):
    (folder / "test_it.py").write_text(code, "utf-8")
    suite = suites.Suite("one", (sys.executable, "-m", "pytest"), (str(folder),), 20)
    monkeypatch.setattr(suites, "known_suites", lambda: {"one": suite})
    monkeypatch.setattr(suites, "REPORTS", folder / "reports")
    monkeypatch.setattr(suites, "PROFILE", folder / "profile")
    return suites.main([*options, "one", "--", "-p", "no:cacheprovider"])


def test_green_tests_end_with_0(suites, monkeypatch, tmp_path, capfd):
    assert run_files(suites, monkeypatch, tmp_path, "def test_a(): pass") == 0
    assert capfd.readouterr().out.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"


def test_a_red_test_ends_with_1(suites, monkeypatch, tmp_path, capfd):
    assert run_files(suites, monkeypatch, tmp_path, "def test_a(): assert 0") == 1
    assert capfd.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


def test_a_suite_that_dies_ends_with_1(suites, monkeypatch, tmp_path, capfd):
    code = "import os\ndef test_a(): pass\ndef test_b(): os._exit(0)"
    assert run_files(suites, monkeypatch, tmp_path, code) == 1
    assert capfd.readouterr().out.splitlines()[-1].startswith("0 passed, 1 failed")


@pytest.fixture
def shared_test(tmp_path):
    """A folder outside the checkout with a test that needs the data folder, skipped here."""
    conftest = (CHECKOUT / "tests" / "conftest.py").read_text("utf-8")
    (tmp_path / "conftest.py").write_text(conftest, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = shared\n", "utf-8")
    return "import pytest\n@pytest.mark.shared\ndef test_a(): assert 0\ndef test_b(): pass"


def test_skips_for_want_of_data_are_counted(suites, monkeypatch, tmp_path, shared_test, capfd):
    monkeypatch.setenv("SWATH_SHARED", str(tmp_path / "missing"))
    assert run_files(suites, monkeypatch, tmp_path, shared_test) == 0
    *_, told, last = capfd.readouterr().out.splitlines()
    assert told.endswith("($SWATH_SHARED): 1")
    assert last == "1 passed, 0 failed, 1 skipped"


def test_such_skips_can_be_failures(suites, monkeypatch, tmp_path, shared_test, capfd):
    monkeypatch.setenv("SWATH_SHARED", str(tmp_path / "missing"))
    assert run_files(suites, monkeypatch, tmp_path, shared_test, "--no-shared-skips") == 1
    assert capfd.readouterr().out.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"
