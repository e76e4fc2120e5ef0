"""What an ingest costs that goes on where one was killed, beside one that begins anew, in one run.

    python bench/resume.py --documents 20000 --at 0.8

Made-up documents of two chunks, as one file of JSON lines and as HTML pages, cut by the embedded model's tokenizer
in the build's own process. The ingest is killed after that share of the time which a whole one took; the staged
parts must be the same bytes in the end. Each run is a fresh process. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ingest
import made_up

from pipeline.index.cut.parts import cut_parts

RUN = """
import sys, json
sys.path.insert(0, sys.argv[1])
import ingest
from pathlib import Path
print(json.dumps(ingest.measured(Path(sys.argv[2]), sys.argv[3], 1)))
"""
INDEX = "index-1"
"""Where `ingest.measured` has that of one process."""


def started(folder: Path, collection: str) -> subprocess.Popen[str]:
    """One ingest in a process of its own."""
    command = [sys.executable, "-c", RUN, str(Path(__file__).parent), str(folder), collection]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def whole(folder: Path, collection: str) -> dict[str, float | str]:
    """What an ingest took, and the digest of what it staged."""
    out, _ = started(folder, collection).communicate()
    found: dict[str, float | str] = json.loads(out.splitlines()[-1])
    return found


def compared(folder: Path, collection: str, share: float) -> dict[str, float]:
    """Seconds of one from the beginning, and of one after a kill."""
    began = time.perf_counter()
    anew = whole(folder, collection)
    seconds = time.perf_counter() - began
    shutil.rmtree(folder / INDEX)
    killed = started(folder, collection)
    time.sleep(share * seconds)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = len(cut_parts(folder / INDEX))
    again = whole(folder, collection)
    if again["parts"] != anew["parts"]:
        raise SystemExit("what was staged differs")
    return {"anew_s": float(anew["wall_s"]), "again_s": float(again["wall_s"]), "parts_kept": kept}


def main() -> None:
    """Print a table; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--at", type=float, default=0.8, help="after which share of the time it is killed")
    given = parser.parse_args()
    ratios = {}
    print(f"{'':8} {'anew':>8} {'again':>8} {'parts kept':>11} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made_up.write_collection(folder / "documents.jsonl", given.documents)
        ingest.write_files(folder / "pages", given.documents // 4, "html")
        for kind, collection in (("lines", "documents.jsonl"), ("html", "pages")):
            found = compared(folder, collection, given.at)
            shutil.rmtree(folder / INDEX)
            ratios[kind] = round(found["anew_s"] / found["again_s"], 2)
            times = f"{found['anew_s']:8.1f} {found['again_s']:8.1f}"
            print(f"{kind:8} {times} {found['parts_kept']:11} {ratios[kind]:7.2f}", flush=True)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
