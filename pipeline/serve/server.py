"""The server around the application: a socket, signals, and an end that waits for what runs."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from pipeline.errors import ConfigError
from pipeline.serve.app import make_app
from pipeline.serve.guard.headers import LOOPBACK_NAMES
from pipeline.serve.guard.keys import VARIABLE
from pipeline.serve.service import Service
from pipeline.serve.shards.shard_app import make_shard_app
from pipeline.serve.shards.shard_service import ShardService

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BACKLOG = 512
_KEPT_FOR_CLIENTS, _KEPT_FOR_FRONTS = 5, 300
"""Seconds for which a connection stays open that nobody uses."""


class Server(uvicorn.Server):
    """A server that SIGINT, SIGTERM and SIGHUP end in peace; a second SIGINT does not wait."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to the signals while the server runs, and do not raise them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def end(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        try:
            for number in _SIGNALS:
                signal.signal(number, end)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_server(service: Service | ShardService, host: str) -> Server:
    """A server for the service; `host` is where it will listen."""
    settings = service.settings
    hosts = [*settings.hosts, *(LOOPBACK_NAMES if is_loopback(host) else ())]
    if not is_loopback(host) and not settings.hosts:
        hosts = []
    config = uvicorn.Config(
        make_app(service, hosts) if isinstance(service, Service) else make_shard_app(service, hosts),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=_KEPT_FOR_CLIENTS if isinstance(service, Service) else _KEPT_FOR_FRONTS,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises `ConfigError` if there is none to be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        # asyncio sends at once only what says that it is TCP; else a small answer may wait 40 ms.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(_BACKLOG)
        except OSError:
            found.close()
            raise
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{host}:{port}: cannot listen here: {why}; choose another --host or --port") from None
    return found


def serve(
    service: Service | ShardService,
    host: str,
    port: int,
    started: Callable[[str], Any] = lambda url: None,
    insecure: bool = False,
) -> None:
    """Answer until a signal ends it. `started` is told the address.

    Raises `ConfigError`, also where others could reach a service without keys, unless that is meant: `insecure`.
    """
    try:
        if not (service.keys or insecure or is_loopback(host)):
            raise ConfigError(
                f"--host {host}: whoever reaches this address could search without a key; give --keys FILE or "
                f"{VARIABLE} (`pipeline key` makes keys), or --insecure if something in front asks for one"
            )
        with listen(host, port) as listening:
            name = f"[{host}]" if ":" in host else host
            started(f"http://{name}:{listening.getsockname()[1]}")
            make_server(service, host).run(sockets=[listening])
    finally:
        service.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
