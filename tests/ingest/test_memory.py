"""The limit of memory is the process's own, and what goes beyond it is refused."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
from pipeline.ingest.memory import limit_memory
import resource
before = resource.getrlimit(resource.RLIMIT_DATA)
limit_memory({limit})
assert resource.getrlimit(resource.RLIMIT_DATA)[1] == before[1]
try:
    block = bytearray(300_000_000)
except MemoryError:
    print("refused")
else:
    print("given")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count less")
@pytest.mark.parametrize(("limit", "outcome"), [(200, "refused"), (1000, "given"), (0, "given"), (None, "given")])
def test_memory_beyond_the_limit_is_refused(limit: float | None, outcome: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(limit=limit)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == outcome


FREED = """
from pathlib import Path
from pipeline.ingest.memory import give_back_memory

def held():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

blocks = [bytearray(8000) for _ in range(20_000)]
rare = blocks[::100]
del blocks
before = held()
give_back_memory()
print(before - held())
"""


@pytest.mark.skipif("glibc" not in platform.libc_ver(), reason="other C libraries keep what is free, or do not")
def test_what_is_free_between_blocks_in_use_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50_000_000
