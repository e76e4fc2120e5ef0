"""What reading and cutting cost in the build's own process and in several, beside each other in one run.

    python bench/ingest.py --documents 300000 --processes 2 --rounds 1
    python bench/ingest.py --documents 10000 --files html

Made-up documents of two chunks, as one file of JSON lines or as a file each, cut by the embedded model's tokenizer.
HTML pages have menus around their text, and are parsed by processes of their own.
Each run is a fresh process; the staged parts must be the same bytes. CPU time is that of the build and of all its
workers: on a machine that others use it is the steadier figure. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import made_up

from pipeline.config import parse_config
from pipeline.index import staging
from pipeline.job import build as builder

DIMENSION = 384


def measured(folder: Path, collection: str, processes: int) -> dict[str, Any]:
    """One ingest in this process; times in seconds, memory in MB."""
    index = f"index-{processes}"
    settings = {
        "sources": [{"path": collection}],
        "encoder": {"model": "embedded"},
        "index": index,
        "ingest": {"processes": processes},
    }
    config = parse_config(settings, base=folder)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    report = builder.ingest(config, encoder=made_up.encoder(DIMENSION))
    wall = time.perf_counter() - started
    own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    digest = hashlib.sha256()
    for path in sorted(staging.ingest_folder(config.index_path).glob("part-*")):
        digest.update(path.read_bytes())
    return {
        "processes": processes,
        "wall_s": round(wall, 2),
        "build_cpu_s": round(own.ru_utime + own.ru_stime - before.ru_utime - before.ru_stime, 2),
        "workers_cpu_s": round(workers.ru_utime + workers.ru_stime, 2),
        "build_mb": own.ru_maxrss // 1000,
        "worker_mb": workers.ru_maxrss // 1000,
        "chunks": report.staged.chunks,
        "parts": digest.hexdigest()[:16],
    }


MENU = "<nav><ul>" + "".join(f'<li><a href="/{i}">Section {i}</a></li>' for i in range(40)) + "</ul></nav>"


def page(text: str) -> str:
    """An HTML page with this text in its middle, a paragraph for every twenty words."""
    words = text.split()
    blocks = "".join(f"<p>{' '.join(words[i : i + 20])}</p>" for i in range(0, len(words), 20))
    head = f"<head><title>{words[0]}</title></head>"
    return f"<html>{head}<body>{MENU}<main><h1>{words[0]}</h1>{blocks}</main>{MENU}</body></html>"


def write_files(folder: Path, count: int, suffix: str) -> None:
    """A file for each document, a thousand in a folder."""
    for number, document in enumerate(made_up.documents(count)):
        place = folder / f"{number // 1000:04d}"
        place.mkdir(parents=True, exist_ok=True)
        text = str(document["text"])
        (place / f"{number}.{suffix}").write_text(page(text) if suffix == "html" else text)


def main() -> None:
    """Write the collection, run both ways by turns, print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=30_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", choices=["txt", "html"], help="a file for each document")
    parser.add_argument("--one", nargs=3, metavar=("FOLDER", "COLLECTION", "PROCESSES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(Path(options.one[0]), options.one[1], int(options.one[2]))))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as name:
        collection = "files" if options.files else "lines.jsonl"
        if options.files:
            write_files(Path(name) / collection, options.documents, options.files)
        else:
            made_up.write_collection(Path(name) / collection, options.documents)
        for round_ in range(options.rounds):
            ways = [1, options.processes]
            for processes in ways if round_ % 2 == 0 else ways[::-1]:
                command = [sys.executable, __file__, "--one", name, collection, str(processes)]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                rows.append(json.loads(said.splitlines()[-1]))
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if len({row["parts"] for row in rows}) != 1:
        sys.exit("the parts differ")

    def best(processes: int) -> float:
        return min(float(row["wall_s"]) for row in rows if row["processes"] == processes)

    ratio = round(best(1) / best(options.processes), 2)
    print(json.dumps({"documents": options.documents, "files": options.files, "ratio": ratio, "runs": rows}))


if __name__ == "__main__":
    main()
