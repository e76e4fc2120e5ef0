"""How much memory a process that parses foreign files may take."""

from __future__ import annotations

import resource


def limit_memory(megabytes: float | None) -> None:
    """Let this process have no more than so much writable memory of its own (1 MB = 10^6 bytes); none: no limit.

    What asks for more is refused: Python raises `MemoryError`, libraries give up or end the process. Linux counts
    all of it, other systems less.
    """
    if not megabytes:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(megabytes * 1e6)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
