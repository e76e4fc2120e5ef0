"""The benchmarks run: on small data, for the last line that they print. What they measure is for people to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def last_line(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "bench" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("script", "arguments", "keys"),
    [
        (
            "search.py",
            "lexical dense --lexical-chunks 2000 --dense-chunks 2000 --queries 20",
            {"lexical_vs_scipy", "lexical_vs_scipy_product_only", "dense_vs_flat"},
        ),
        ("batch.py", "--chunks 1000 --queries 32", {"hybrid_batch_vs_one_at_a_time"}),
        ("memory.py", "--stub --chunks 50 100", {"growth", "peak_rss_mb"}),
        ("nightly.py", "--stub --chunks 200", {"chunks", "full_seconds"}),
        ("stemming.py", "xx", set()),
        ("korean.py", "", {"characters_per_second", "start_ms"}),
    ],
)
def test_a_benchmark_ends_in_its_ratios(script: str, arguments: str, keys: set[str]) -> None:
    assert keys <= last_line(script, *arguments.split()).keys()


def test_this_index_stands_in_the_table_of_stores(tmp_path: Path) -> None:
    code = "import sys; sys.path.insert(0, 'bench'); from pathlib import Path; import search; "
    code += f"search.write_collection(Path({str(tmp_path)!r}), 500, 20)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert set(last_line("stores.py", "pipeline", str(tmp_path))["modes"]) == {"dense", "lexical", "hybrid"}
