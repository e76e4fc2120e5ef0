"""A PostgreSQL server of a test's own on the loopback interface, with a password, gone when the test is."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "pa55:w@rd"
QUOTED = "pa55%3Aw%40rd"
DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian has a server's programs, which are not on the path."""


def binaries() -> Path | None:
    """Where the programs of a server are, `None` if there are none."""
    if (found := shutil.which("initdb")) and shutil.which("postgres"):
        return Path(found).resolve().parent
    for installed in sorted(DEBIAN.glob("*/bin/initdb")):
        return installed.parent
    spec = importlib.util.find_spec("pgserver")
    folder = Path(spec.origin).parent / "pginstall/bin" if spec is not None and spec.origin else None
    return folder if folder is not None and (folder / "initdb").exists() else None


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server's database, with the password. Skips the test where there is no server to start."""
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL is installed")
    user = _ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    process = None
    try:
        (folder / "password").write_text(PASSWORD)
        if user is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, user, None)
        create = [programs / "initdb", "-D", folder / "data", "-U", "reader", "-A", "scram-sha-256", "-E", "UTF8"]
        create += ["--no-sync", "--locale=C", f"--pwfile={folder / 'password'}"]
        made = subprocess.run(create, user=user, cwd=folder, capture_output=True, check=False)
        if made.returncode:
            pytest.skip(f"no PostgreSQL can be started: {made.stderr.decode()[-300:]}")
        port = _free_port()
        options = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
        start = [str(programs / "postgres"), "-D", str(folder / "data")]
        start += [part for option in options for part in ("-c", option)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(start, user=user, cwd=folder, stdout=log, stderr=log)
        _wait(port, process, folder / "log")
        yield f"postgresql://reader:{QUOTED}@127.0.0.1:{port}/postgres"
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _ordinary_user() -> str | None:
    """Whom to be for a server, which refuses to run as root."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("no user but root")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if b"ready to accept connections" in log.read_bytes():
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not start on {port}: {log.read_text()[-500:]}")
