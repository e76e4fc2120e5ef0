"""What other programs say of a failure, with what may be a credential cut out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

CUT = "…"
_SECRET = (
    r"(?:\w*key|\w*token\w*|\w*secret\w*|\w*passw(?:or)?d|\w*passphrase|(?:\w+_)?pwd|\w*credentials?"
    r"|authorization|\w*dsn)"
)
_SECRET_NAME = re.compile(
    r"(?i)\w*(?:token|secret|passw(?:or)?d|passphrase|credential|authorization|dsn)\w*\Z|\w*key\Z|\w*_pwd\Z"
)
_USER_INFORMATION = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/@]+(?::[^\s@]*)?@")
_GIVEN = re.compile(
    rf"(?i)((?:\b{_SECRET}\b[\"']?\s*[=:]\s*|--?{_SECRET}\s+)[\"']?)(?:(?:bearer|basic)\s+)?[^\s\"',;&]+"
)
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9+/._~=-]{8,}")
_ASSIGNED = re.compile(r"(?:^|\s)([A-Za-z_]\w*)=(?:'([^']*)'|\"([^\"]*)\"|(\S+))")
_LEAST_CHARS = 4
"""A shorter value would cut letters out of common words."""


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without user and password in URLs, values of keys such as `password`, and the `secrets`."""
    for secret in sorted(filter(None, set(secrets)), key=len, reverse=True):
        if len(secret) >= _LEAST_CHARS:
            text = text.replace(secret, CUT)
    text = _USER_INFORMATION.sub(rf"\g<1>{CUT}@", text)
    text = _GIVEN.sub(rf"\g<1>{CUT}", text)
    return _BEARER.sub(rf"\g<1>{CUT}", text)


def secrets_in_environment(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Values of environment variables whose names say that they are secret."""
    found = [value for name, value in environment.items() if _SECRET_NAME.match(name)]
    return [*found, *(part for value in found for part in secrets_in_url(value))]


def secrets_in_command(command: str) -> list[str]:
    """Values that a command assigns to variables, whatever these are called."""
    return [next(filter(None, values), "") for _, *values in _ASSIGNED.findall(command)]


def secrets_in_url(url: str) -> list[str]:
    """Passwords in a URL, before its host and behind it, as they stand there and decoded; and then all of it."""
    found = re.findall(r"^[a-zA-Z][\w+.-]*://[^/@:\s]*:([^\s]*)@|[?&]\w*password=([^&\s]+)", url)
    parts = [part for pair in found for part in pair if part]
    return [url, *parts, *map(unquote, parts)] if parts else []
