"""Addresses have one form; lists of them are read whole or not at all; an answer's type names its reader."""

from __future__ import annotations

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.ingest.fetching.web import lists
from pipeline.ingest.fetching.web.addresses import normalised, origin
from pipeline.ingest.fetching.web.lists import addresses, parsed, unpacked
from pipeline.ingest.fetching.web.media import as_lines, as_utf8, content_type, suffix_of
from pipeline.ingest.formats.decoding import UnreadableError


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("HTTP://Example.ORG:80", "http://example.org/"),
        ("https://example.org:443/a#part", "https://example.org/a"),
        ("https://example.org:8443/a/./b/../c?x=1#y", "https://example.org:8443/a/c?x=1"),
        ("https://example.org/%7euser/%c3%a9", "https://example.org/~user/%C3%A9"),
        ("https://example.org/한글?q=한 글".replace(" ", "+"), "https://example.org/%ED%95%9C%EA%B8%80?q=%ED%95%9C+%EA%B8%80"),
        ("https://example.org/100%", "https://example.org/100%25"),
        ("https://example.org/a%2Fb", "https://example.org/a%2Fb"),
        ("https://한국.kr/", "https://xn--3e0b707e.kr/"),
        ("http://[::1]:8000/a", "http://[::1]:8000/a"),
        (" https://example.org/a/.. ", "https://example.org/"),
        ("https://example.org/../../a", "https://example.org/a"),
        ("https://example.org/a/", "https://example.org/a/"),
        ("https://example.org/a//b", "https://example.org/a//b"),
    ],
)  # fmt: skip
def test_an_address_has_one_form(written: str, normal: str) -> None:
    assert normalised(written) == normal
    assert normalised(normal) == normal


@pytest.mark.parametrize(
    "written",
    ["", "example.org", "ftp://example.org/a", "file:///etc/passwd", "http://", "http:///a", "http://me:pw@host/",
     "http://me@host/",
     "http://host:99999/", "http://[::1", "http://a b/", "http://host/a\nb", "http://host/" + "a" * 5000, "http://..",
     "javascript:x"],
)  # fmt: skip
def test_what_is_no_address_of_the_web_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        normalised(written)


@given(st.text(max_size=30))
def test_the_form_of_any_path_is_its_own_form(path: str) -> None:
    try:
        normal = normalised(f"http://example.org/{path}")
    except ValueError:
        return
    assert normalised(normal) == normal
    assert origin(normal) == "http://example.org" or path.startswith(("@", ":"))
    assert normal.isascii()


SITEMAP = b"""<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> https://example.org/a?x=1&amp;y=2 </loc><lastmod>2024-01-01</lastmod>
    <image:image><image:loc>https://example.org/a.png</image:loc></image:image></url>
  <url><loc>https://example.org/b</loc></url>
  <url><lastmod>2024-01-01</lastmod></url>
</urlset>"""
INDEX = b"""<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
  <sitemap><loc>one.xml</loc></sitemap><sitemap><loc>two.xml.gz</loc></sitemap><sitemap><loc>index.xml</loc></sitemap>
</sitemapindex>"""
PAGES = ("https://example.org/a?x=1&y=2", "https://example.org/b")


def test_sitemaps_and_lines_are_read() -> None:
    assert parsed(SITEMAP).pages == PAGES
    assert parsed(gzip.compress(SITEMAP)).pages == PAGES
    assert parsed(SITEMAP.replace(b"urlset", b"URLSET")).pages == PAGES
    assert parsed(INDEX).lists == ("one.xml", "two.xml.gz", "index.xml")
    assert parsed("﻿# ours\nhttps://example.org/a\n\n  https://example.org/한 \r\n".encode()).pages == (
        "https://example.org/a",
        "https://example.org/한",
    )


def test_an_index_is_followed_each_list_once() -> None:
    held = {"index.xml": INDEX, "one.xml": SITEMAP, "two.xml.gz": gzip.compress(b"https://example.org/c")}
    asked: list[str] = []

    def load(place: str) -> bytes:
        asked.append(place)
        return held[place]

    assert addresses("index.xml", load) == [*PAGES, "https://example.org/c"]
    assert asked == ["index.xml", "one.xml", "two.xml.gz"]


def test_one_list_that_fails_fails_all() -> None:
    def load(place: str) -> bytes:
        if place == "two.xml.gz":
            raise UnreadableError("answers with status 500")
        return INDEX if place == "index.xml" else SITEMAP

    with pytest.raises(
        SourceError, match=r"two.xml.gz: the list of addresses cannot be read: answers with status 500"
    ):
        addresses("index.xml", load)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html><body>not found</body></html>", "is no sitemap: begins with html"),
        (b"<!DOCTYPE html><html></html>", "document type"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><urlset>&b;</urlset>', "document type"),
        (SITEMAP[:-20], "no valid XML"),
        (gzip.compress(SITEMAP, mtime=0)[:-30], "ends before"),
        (gzip.compress(SITEMAP, mtime=0)[:40] + b"\xff" * 40, "cannot be unpacked"),
        (b"", "names no page"),
        (b"<urlset></urlset>", "names no page"),
        (b"\x89PNG\r\n\x1a\n\0\0", "binary content"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        addresses("sitemap.xml", lambda place: data)


def test_a_bomb_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_BYTES", 1_000_000)
    with pytest.raises(UnreadableError, match="would unpack to more than 1 MB"):
        unpacked(gzip.compress(b"x" * 2_000_000))
    with pytest.raises(UnreadableError, match="would unpack to more than 1 MB"):
        unpacked(gzip.compress(b"x" * 600_000) * 2)
    assert unpacked(gzip.compress(b"x" * 1_000_000)) == b"x" * 1_000_000


def test_an_index_of_indexes_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(place: str) -> bytes:
        return INDEX.replace(b"one.xml", f"{place}x".encode())

    with pytest.raises(SourceError, match="an index of sitemaps inside 2 others"):
        addresses("index.xml", load)
    monkeypatch.setattr(lists, "MOST_ADDRESSES", 1)
    with pytest.raises(SourceError, match="more than 1 pages"):
        addresses("sitemap.xml", lambda place: SITEMAP)


@given(st.binary(max_size=3000), st.integers(1, 4))
def test_gzip_comes_back_in_any_number_of_members(data: bytes, members: int) -> None:
    packed = io.BytesIO()
    size = len(data) // members + 1
    for start in range(0, max(len(data), 1), size):
        packed.write(gzip.compress(data[start : start + size]))
    assert unpacked(packed.getvalue()) == data


def typed(kind: str) -> dict[str, str]:
    return {"content-type": kind}


@pytest.mark.parametrize(
    ("address", "kind", "suffix"),
    [
        ("http://h/", "text/html", ".html"),
        ("http://h/a.php?x=b.pdf", "Text/HTML; Charset=UTF-8", ".html"),
        ("http://h/a.pdf", "text/html", ".html"),  # a login page, say
        ("http://h/download?id=1", "application/pdf", ".pdf"),
        ("http://h/readme.md", "text/plain", ".md"),
        ("http://h/LICENSE", "text/plain; charset=us-ascii", ".txt"),
        ("http://h/a.log", "text/plain", ".txt"),
        ("http://h/a.pdf", "application/octet-stream", ".pdf"),
        ("http://h/a.pdf", "", ".pdf"),
        ("http://h/a.py", "text/x-python", ".py"),
        ("http://h/a.rst", "text/prs.fallenstein.rst", ".rst"),
        ("http://h/rows", "text/csv", ".csv"),
        ("http://h/rows", "application/x-ndjson", ".jsonl"),
        ("http://h/api?q=1", "application/json; charset=utf-8", ".jsonl"),
        ("http://h/a", "message/rfc822", ".eml"),
    ],
)  # fmt: skip
def test_the_type_names_the_reader(address: str, kind: str, suffix: str) -> None:
    assert suffix_of(address, typed(kind)) == suffix


@pytest.mark.parametrize(
    "kind", ["image/png", "video/mp4", "application/ld+json", "application/x-unknown", "", "audio/mpeg"]
)
def test_what_has_no_reader_is_told(kind: str) -> None:
    with pytest.raises(UnreadableError, match="no reader for"):
        suffix_of("http://h/a", typed(kind))
    with pytest.raises(UnreadableError, match="no reader for image/png"):
        suffix_of("http://h/a.pdf", typed("image/png"))


def test_the_charset_of_the_header_counts_where_the_bytes_are_no_utf8() -> None:
    text = "한글 문서입니다"
    assert content_type(typed('text/html; charset="EUC-KR"')) == ("text/html", "EUC-KR")
    assert as_utf8(text.encode("cp949"), ".html", typed("text/html; charset=euc-kr")).decode() == text
    assert as_utf8("café".encode("latin-1"), ".txt", typed("text/plain; charset=ISO-8859-1")).decode() == "café"
    assert as_utf8(text.encode(), ".html", typed("text/html; charset=euc-kr")).decode() == text
    for body, suffix, kind in (
        (b"\xff\xff", ".txt", "text/plain; charset=utf-8"),
        (b"caf\xe9", ".txt", "text/plain; charset=unheard-of"),
        (b"caf\xe9", ".txt", "text/plain; charset=base64"),
        (b"caf\xe9", ".txt", "text/plain"),
        (b"%PDF-\xe9", ".pdf", "application/pdf; charset=latin-1"),
    ):
        assert as_utf8(body, suffix, typed(kind)) == body


def test_json_is_a_list_of_records_or_one() -> None:
    kind = typed("application/json")
    assert as_lines('[{"id": 1, "text": "é\\n"},\n {"id": 2}]'.encode(), kind) == (
        b'{"id": 1, "text": "\\u00e9\\n"}\n{"id": 2}\n'
    )
    assert as_lines(b'{\n"a": 1}', kind) == b'{"a": 1}\n'
    assert as_lines(b"[]", kind) == b""
    assert as_lines(b"[1]", typed("text/plain")) == b"[1]"
    for body, reason in (
        (b"[1]", "neither a record"),
        (b'"x"', "neither a record"),
        (b"{", "none"),
        (b"\xff", "none"),
    ):
        with pytest.raises(UnreadableError, match=reason):
            as_lines(body, kind)
