"""How the command line begins and ends its process: what it spares a query that starts from nothing.

Only a process that does nothing else may be treated so; a program that runs commands inside its own is not.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_SETTINGS = {
    # Nobody here asks for plugins, and looking for them reads the records of every package that is installed.
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
    # NumPy's threads, once started, would spin on the other core for 2^26 ticks before they sleep; 2^16 are 30 µs.
    "OPENBLAS_THREAD_TIMEOUT": "16",
}
_begun = False


def begin() -> Departure:
    """Tell libraries, before they are loaded, what a command needs; what the user has set stays. Return what ends
    the process, which is registered to be done last."""
    global _begun
    _begun = True
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    departure = Departure()
    atexit.register(departure)
    return departure


@contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage while modules are imported, which all stay, and never look at them later.

    Changes nothing unless the process has begun as one of the command line.
    """
    if not _begun or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@dataclass(slots=True)
class Departure:
    """The end of a process without freeing all that it loaded. `status`: its exit status, once that is known."""

    status: object = None

    def __call__(self) -> None:
        """End the process now, if its status is a number: files are closed by then, and memory is the system's.

        Where something cannot be written any more, Python says so in its usual way.
        """
        if not isinstance(self.status, int):
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except (OSError, ValueError):
            return
        os._exit(self.status & 0xFF)
