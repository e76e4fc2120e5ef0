"""Addresses of the web in one form, so that a page has one name however it is written."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
MOST_CHARS = 4000
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_SAFE = "/:@!$&'()*+,;=~%-._?"


def normalised(address: str) -> str:
    """The address as it is asked for and as it names its page: RFC 3986, without default port and fragment.

    Raises `ValueError` with the reason for what is no address of http or https, or holds a login.
    """
    written = address.strip()
    try:
        parts = urlsplit(written)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is no address ({error})") from None
    if len(written) > MOST_CHARS or any(char.isspace() or not char.isprintable() for char in written):
        raise ValueError("is no address: too long, or with white space in it")
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise ValueError("is no address that begins with http:// or https://")
    if not host:
        raise ValueError("is an address without a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a login; addresses with names or passwords are not fetched")
    place = _ascii(host)
    if port is not None and port != DEFAULT_PORTS[scheme]:
        place += f":{port}"
    return SplitResult(
        scheme, place, _without_dots(_escaped(parts.path)) or "/", _escaped(parts.query), ""
    ).geturl()


def origin(address: str) -> str:
    """Scheme, host and port of a normalised address: what has one robots.txt."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _ascii(host: str) -> str:
    if ":" in host:
        return f"[{host}]"
    try:
        name = host.lower().rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not name:
        raise ValueError("is an address whose host is no name")
    return name


def _escaped(text: str) -> str:
    """With escapes in capitals, none that is not needed, and all that are."""

    def one(match: re.Match[str]) -> str:
        char = chr(int(match[1], 16))
        return char if _UNRESERVED.fullmatch(char) else match[0].upper()

    return _ESCAPE.sub(one, quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text), safe=_SAFE))


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4."""
    kept: list[str] = []
    parts = path.split("/")
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "..":
            if len(kept) > 1:
                kept.pop()
            if last:
                kept.append("")
        elif part != "." or last:
            kept.append("" if part == "." else part)
    return "/".join(kept)
