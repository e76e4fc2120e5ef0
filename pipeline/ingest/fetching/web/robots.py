"""What hosts let programs ask for (RFC 9309), as their robots.txt says.

Protego reads it, and not `urllib.robotparser`: that one knows no wildcards, and takes the first rule that fits,
where the standard wants the longest.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.errors import MissingDependencyError
from pipeline.ingest.fetching.web.addresses import origin
from pipeline.ingest.fetching.web.client import Client, Wanted
from pipeline.ingest.formats.decoding import UnreadableError

if TYPE_CHECKING:
    from protego import Protego

INSTALL = "pip install 'hybrid-pipeline[web]'"
MOST_BYTES = 512 * 1024
"""What is read of a robots.txt; the standard asks for 500 KiB."""
LONGEST_DELAY = 60.0
"""A host that wants more seconds between two requests is not asked at all: no night is long enough."""


class Robots:
    """Asks each host once, whichever threads want to know. Raises `MissingDependencyError` without Protego."""

    def __init__(self, client: Client, user_agent: str) -> None:
        """`user_agent`: rules are those for its name, which ends at the slash."""
        self._client, self._name = client, user_agent.split("/")[0].split()[0]
        self._known: dict[str, Protego | str | None] = {}
        self._asking: dict[str, threading.Lock] = {}
        try:
            from protego import Protego
        except ImportError:
            raise MissingDependencyError(f"sources: urls: Protego is not installed; {INSTALL}") from None
        self._parse = Protego.parse

    def permit(self, address: str) -> None:
        """Raises `UnreadableError`, with the reason, for what may not be asked for."""
        host = origin(address)
        with self._asking.setdefault(host, threading.Lock()):
            if host not in self._known:
                self._known[host] = self._asked(host)
        rules = self._known[host]
        if isinstance(rules, str):
            raise UnreadableError(rules)
        if rules is not None and not rules.can_fetch(address, self._name):
            raise UnreadableError(f"{host}/robots.txt does not allow {self._name} to read it")

    def _asked(self, host: str) -> Protego | str | None:
        """The rules of a host; `None` if it has none; why nothing can be asked for, if so."""
        try:
            reply = self._client.get(Wanted(f"{host}/robots.txt", MOST_BYTES, is_cut=True))
        except UnreadableError as error:
            return f"not asked for, as {host}/robots.txt cannot be had: {error}"
        if reply.status >= 500:
            return f"not asked for, as {host}/robots.txt cannot be had: answers with status {reply.status}"
        if reply.status != 200:
            return None
        rules = self._parse(reply.body.decode("utf-8", "replace").lstrip("\ufeff"))
        rate = rules.request_rate(self._name)
        delay = max(rules.crawl_delay(self._name) or 0.0, rate.seconds / max(rate.requests, 1) if rate else 0.0)
        if delay > LONGEST_DELAY:
            return f"not asked for, as {host}/robots.txt wants {delay:g} s between two requests"
        self._client.pace.slow(host, delay)
        return rules
