"""What of a document's metadata a browser may follow."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serve.page.text.links import day_of, host_of, language_of, source_address, web_address


@pytest.mark.parametrize(
    "value",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)",
        "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:http://a.example/x", "ftp://a.example/",
        "//elsewhere.example", "/path", "path", "", "http:", "http://", "https:///x", "http://[::1",
        "http://a.example/\u202egpj", "http://a.example/ b", "http\x00://a.example", "https://a.example/\ud800",
        "http://user:word@a.example/", "http://a.example:port/", "http://a.example\\@b.example/",
        "https://" + "a" * 2001, 7, None, ["http://a.example"],
    ],
)  # fmt: skip
def test_what_is_no_address_on_the_web(value: object) -> None:
    assert web_address(value) is None


@pytest.mark.parametrize(
    "value", ["http://a.example", "https://a.example/b?c=d&e#f", "HTTPS://A.example:8443/사과"]
)
def test_what_is_one(value: str) -> None:
    assert web_address(value) == value


@given(st.text(max_size=80))
def test_whatever_is_given_only_the_web_comes_back(value: str) -> None:
    found = web_address(value)
    assert found is None or (urlsplit(found).scheme in ("http", "https") and urlsplit(found).hostname)


def test_the_first_good_one_counts() -> None:
    metadata = {"link": "https://b.example/", "URL": "javascript:x"}
    assert source_address(metadata, "file.md") == "https://b.example/"
    assert source_address({}, "https://c.example/x.html") == "https://c.example/x.html"
    assert source_address({"url": 3}, "file.md") is None
    assert host_of("https://www.Example.org:8080/x") == "example.org"


def test_days_and_languages() -> None:
    assert day_of({"updated": "2026-02-01T10:00:00Z"}) == date(2026, 2, 1)
    assert day_of({"date": "2024-02-30", "created": "2024-02-29"}) == date(2024, 2, 29)
    assert day_of({"date": 2024}) is None
    assert day_of({"date": "2024-02-291"}) is None
    assert language_of({"lang": "ko-KR"}) == "ko"
    assert language_of({"lang": '"><b>'}) is None
    assert language_of({"language": "EN"}) == "en"
