import pytest
import requests

from engine.models.index_settings import IndexSettings
from engine.models.web import UserSession, explain

URL = "https://user:secret@host.example:8443/simple"


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (requests.exceptions.ProxyError(), "proxy", "HTTPS_PROXY"),
        (requests.exceptions.SSLError(), "certificate", "PIP_CERT"),
        (requests.exceptions.ReadTimeout(), "in time", "network"),
        (requests.exceptions.ConnectTimeout(), "in time", "network"),
        (requests.exceptions.ConnectionError(), "cannot be reached", "network"),
        (requests.exceptions.ChunkedEncodingError(), "broke off", "kept"),
        (requests.exceptions.TooManyRedirects(), "TooManyRedirects", "pip"),
    ],
)
def test_network_errors_are_told_with_host_reason_and_advice(error, reason, hint):
    told = explain(error, URL)
    assert "host.example:8443" in told.message
    assert reason in told.message
    assert hint in told.hint
    assert "secret" not in str(told)


@pytest.mark.parametrize(("status", "hint"), [(407, "proxy"), (401, "login"), (503, "network")])
def test_statuses_are_told(status, hint):
    response = requests.Response()
    response.status_code = status
    told = explain(requests.HTTPError(response=response), URL)
    assert str(status) in told.message
    assert hint in told.hint


def merged(settings, url, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/environment.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://environment:1")
    with UserSession(settings) as session:
        return session.merge_environment_settings(url, {}, None, None, None)


def test_pips_settings_go_before_the_environments(monkeypatch):
    settings = IndexSettings((), cert="/pip.pem", proxy="http://pip:2")
    found = merged(settings, "https://a.example/x", monkeypatch)
    assert found["verify"] == "/pip.pem"
    assert found["proxies"]["https"] == "http://pip:2"


def test_the_environments_settings_hold_otherwise(monkeypatch):
    found = merged(IndexSettings(()), "https://a.example/x", monkeypatch)
    assert found["verify"] == "/environment.pem"
    assert found["proxies"]["https"] == "http://environment:1"


@pytest.mark.parametrize(
    ("host", "trusted"), [("a.example", True), ("a.example:8443", True), ("b.example", False)]
)
def test_only_trusted_hosts_go_unchecked(host, trusted, monkeypatch):
    settings = IndexSettings((), cert="/pip.pem", trusted_hosts=("a.example",))
    found = merged(settings, f"https://{host}/x", monkeypatch)
    assert (found["verify"] is False) == trusted
