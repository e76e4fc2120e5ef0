"""The `git` program: called without a shell, without questions, and with errors in words."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.errors import SourceError

BLOCK = 1 << 16
REASON_CHARS = 300
_REACHING = (
    "GIT_ASKPASS",
    "GIT_SSH",
    "GIT_SSL",
    "GIT_PROXY",
    "GIT_HTTP",
    "GIT_CURL",
    "GIT_CONFIG",
    "GIT_ALLOW",
    "GIT_EXEC",
)
"""Variables of git that say how a server is reached; all others are about some repository."""
_SECRET = re.compile(r"(?<=://)[^/\s@]+@")
_SETTINGS = (
    *("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"),  # one that stands still is given up
    *("-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "gc.autoDetach=false"),
)


@dataclass(frozen=True, slots=True)
class Running:
    """A git that runs, and the file that it writes its errors to."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    name: str

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def input(self) -> IO[bytes]:
        """What it reads, if it is fed."""
        assert self.process.stdin is not None
        return self.process.stdin

    def check(self) -> None:
        """Wait for its end. Raises `SourceError` if it failed."""
        if self.process.wait():
            raise self.failure()

    def failure(self) -> SourceError:
        """The error that it ended with."""
        self.errors.seek(0)
        return failure(self.name, self.errors.read(BLOCK))


class Git:
    """Commands on one repository. Nothing is checked out."""

    def __init__(self, folder: Path, name: str) -> None:
        """`folder`: where the repository's own files are; `name`: what errors call it."""
        self.folder, self.name = folder, name

    def run(self, *arguments: str) -> bytes:
        """What a command writes. Raises `SourceError` with what git says."""
        with self.stream(*arguments) as output:
            return output.read()

    @contextlib.contextmanager
    def stream(self, *arguments: str) -> Iterator[IO[bytes]]:
        """What a command writes, as it comes. Raises `SourceError` in the end if it failed.

        Whoever has read enough closes it: the command is stopped.
        """
        with self.start(*arguments) as running:
            yield running.output
            if not running.output.closed:
                running.output.read()
                running.check()

    @contextlib.contextmanager
    def start(self, *arguments: str, is_fed: bool = False) -> Iterator[Running]:
        """A command, which is stopped if it still runs when the block ends. Raises `SourceError` without a git."""
        with started(self.name, f"--git-dir={self.folder}", *arguments, is_fed=is_fed) as running:
            yield running


@contextlib.contextmanager
def started(name: str, *arguments: str, is_fed: bool = False) -> Iterator[Running]:
    """A git with these arguments, which is stopped if it still runs when the block ends."""
    program = shutil.which("git")
    if program is None:
        raise SourceError(f"{name}: git is not installed; install it (the package is called git)")
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [program, "--no-pager", *_SETTINGS, *arguments],
            stdin=subprocess.PIPE if is_fed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(os.environ),
            start_new_session=True,  # without a terminal, ssh cannot ask for a password there
        )
        try:
            yield Running(process, errors, name)
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)  # and what it has started to reach a server
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()


def failure(name: str, said: bytes) -> SourceError:
    """The error for a command that failed, with what it said, without passwords."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    told = [line for line in lines if line.lower().startswith(("fatal:", "error:"))] or lines[-1:] or ["failed"]
    reason = without_secrets(told[0]).removeprefix("fatal: ").removeprefix("error: ")
    if "dubious ownership" in reason:
        return SourceError(
            f"{name}: belongs to another user, so git does not open it; allow it by "
            "`git config --global --add safe.directory` and its path"
        )
    return SourceError(f"{name}: git says: {reason[:REASON_CHARS]}")


def without_secrets(text: str) -> str:
    """`text` with what stands before the host of each address left out."""
    return _SECRET.sub("", text)


def environment(outer: Mapping[str, str]) -> dict[str, str]:
    """That of a git, without what another git around this process (a hook, say) has set for its repository."""
    kept = {
        name: value for name, value in outer.items() if not name.startswith("GIT_") or name.startswith(_REACHING)
    }
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "en",
    }
