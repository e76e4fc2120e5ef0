"""How much memory a process that parses foreign files may take, and what a build gives back between its stages."""

from __future__ import annotations

import ctypes
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


def give_back_memory() -> None:
    """Return to the system what the allocators keep of memory that is free.

    A stage leaves behind many small free blocks; without this they add up over a build. Where the C library has no
    such call (other than glibc), only Arrow's memory is given back.
    """
    import pyarrow as pa  # which a process that parses does without

    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
