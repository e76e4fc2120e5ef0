"""Templates and the files beside them, read once at the start."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Vary": "Accept-Language",
}
"""Of every page: nothing but the service's own style sheet, script and icon is loaded, nothing inline runs."""


class StaticFiles:
    """The files of `static/`, each at an address that changes with its content."""

    def __init__(self) -> None:
        found = sorted(path for path in (_HERE / "static").iterdir() if path.suffix in _TYPES)
        self._files = {path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in found}
        self._tags = {name: hashlib.sha256(data).hexdigest()[:12] for name, (data, _) in self._files.items()}

    def address(self, name: str) -> str:
        """Where a file is."""
        return f"/static/{name}?v={self._tags[name]}"

    def response(self, name: str, tag: str) -> Response | None:
        """A file; browsers keep it where the address names its content. `None` if there is no such file."""
        if name not in self._files:
            return None
        data, media_type = self._files[name]
        kept = {"Cache-Control": _FOREVER} if tag == self._tags[name] else {}
        return Response(data, headers=kept, media_type=media_type)


class Templates:
    """Templates in which everything is escaped that is not markup of their own."""

    def __init__(self, files: StaticFiles) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["static"] = files.address

    def response(
        self, name: str, view: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
    ) -> Response:
        """A page. Half characters in documents become `?`."""
        text = self._environment.get_template(name).render(view)
        content = text.encode("utf-8", "replace")
        return Response(content, status, headers={**HEADERS, **(headers or {})}, media_type="text/html")
