"""Loopback is reached without a proxy, by whichever rule a client follows."""

import pytest
from requests.utils import should_bypass_proxies
from urllib.request import proxy_bypass_environment

from lab import loopback


@pytest.mark.parametrize("before", [
    {}, {"no_proxy": ""}, {"no_proxy": "corp.example"}, {"NO_PROXY": "corp.example"}, {"NO_PROXY": "*"},
    {"no_proxy": "a.example, *"}, {"no_proxy": "lower.example", "NO_PROXY": "upper.example"}, {"no_proxy": "localhost,"},
])
def test_no_client_takes_a_proxy_to_loopback(before, monkeypatch):
    for name in loopback.NAMES:
        monkeypatch.delenv(name, raising=False)
    after = dict(before)
    loopback.bypass_proxies(after)
    for name, value in after.items():
        monkeypatch.setenv(name, value)
    for host in ("localhost", "127.0.0.1", "127.7.8.9"):
        assert should_bypass_proxies(f"http://{host}:8474/", no_proxy=None)
    for name in loopback.NAMES:
        for host in ("localhost", "127.0.0.1"):
            assert proxy_bypass_environment(host, {"no": after[name]})


@pytest.mark.parametrize("before, kept", [
    ({"no_proxy": "corp.example"}, {"no_proxy": "corp.example", "NO_PROXY": "corp.example"}),
    ({"no_proxy": "lower.example", "NO_PROXY": "upper.example"}, {"no_proxy": "lower.example", "NO_PROXY": "upper.example"}),
    ({"http_proxy": "http://proxy:3128"}, {"http_proxy": "http://proxy:3128"}),
])
def test_what_was_set_stays(before, kept):
    after = dict(before)
    loopback.bypass_proxies(after)
    assert all(after[name].startswith(value) for name, value in kept.items())


def test_a_child_adds_nothing_to_what_it_inherits():
    once: dict[str, str] = {}
    loopback.bypass_proxies(once)
    twice = dict(once)
    loopback.bypass_proxies(twice)
    assert twice == once
