"""Searches a second of one client and of eight on one open index, with encoding and hits.

Usage: python bench/throughput.py INDEX [--baseline CHECKOUT [--baseline-index INDEX]]
           [--model embedded-english] [--mode hybrid]

INDEX is one of bench/growth.py (`--keep`), at 384 dimensions. The checkouts take turns, each time in a process of
its own. `idle` is the share of the machine's time that nobody used meanwhile: what is left of it with eight clients
was not asked for. Ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = (1, 8)
QUERIES = 400
TOP = 10


class Borrowed:
    """An encoder under the fingerprint that an index of made-up vectors bears."""

    def __init__(self, encoder: Any, fingerprint: Any) -> None:
        self._encoder, self.dense_fingerprint = encoder, fingerprint

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


def child(index_path: str, model: str, mode: str) -> None:
    """Measure the `pipeline` that is on the path."""
    import made_up

    from pipeline import open_index
    from pipeline.config import EncoderSettings
    from pipeline.index import manifest
    from pipeline.index.lexical import kernel
    from pipeline.models.bm25.encoder import Bm25Encoder
    from pipeline.models.choose.encoder import MixedEncoder, load_encoder
    from pipeline.records import Fingerprint

    live = manifest.load_latest(Path(index_path)) if hasattr(manifest, "load_latest") else None
    if live is None:
        number = manifest.latest_generation(Path(index_path))
        live = manifest.load(Path(index_path), number)
    print_of = Fingerprint(tuple(sorted(live.fingerprints["dense"].items())))
    if model == "made-up":
        encoder: Any = made_up.encoder(384, print_of)
    else:
        loaded: Any = load_encoder(EncoderSettings(model=model))
        encoder = MixedEncoder(Borrowed(loaded.dense_encoder, print_of), Bm25Encoder())
    kernel.load()
    index = open_index(index_path, encoder=encoder, verify=False)
    texts = made_up.queries(QUERIES)

    def ask(text: str) -> None:
        if mode == "rank":
            index.rank([text], TOP)
        else:
            index.search(text, TOP, mode)

    found: dict[str, Any] = {}
    for text in texts[:80]:
        ask(text)
    for clients in CLIENTS:
        found[str(clients)] = measure(ask, texts, clients)
    print(json.dumps(found))


def measure(ask: Any, texts: Sequence[str], clients: int) -> dict[str, float]:
    """`clients` threads, each asks one query after the other."""
    times: list[float] = []

    def client(number: int) -> None:
        for text in texts[number::clients]:
            started = time.perf_counter()
            ask(text)
            times.append((time.perf_counter() - started) * 1e3)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    idle, started, cpu = idle_seconds(), time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    ordered = sorted(times)
    return {
        "per_second": len(times) / seconds,
        "p50": statistics.median(ordered),
        "p95": ordered[int(0.95 * len(ordered))],
        "cpu_ms": (time.process_time() - cpu) / len(times) * 1e3,
        "idle": (idle_seconds() - idle) / seconds / (os.cpu_count() or 1),
    }


def idle_seconds() -> float:
    """Of all cores since the machine started."""
    return int(Path("/proc/stat").read_text("ascii").split(maxsplit=5)[4]) / os.sysconf("SC_CLK_TCK")


def run(root: Path, arguments: Sequence[str]) -> dict[str, dict[str, float]]:
    """Measure a checkout in a process of its own."""
    path = os.pathsep.join([str(root), str(ROOT / "bench")])
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, str(Path(__file__)), "--child", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True, cwd=root)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("--baseline", type=Path, help="another checkout, which takes turns with this one")
    parser.add_argument("--baseline-index", help="the same collection, as that checkout wrote it")
    parser.add_argument("--model", default="embedded-english", help="or `made-up`: no model at all")
    parser.add_argument("--mode", default="hybrid", help="dense, lexical, hybrid, or `rank`: hybrid without texts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.index, options.model, options.mode)
        return
    arguments = ["--model", options.model, "--mode", options.mode]
    indexes = {"this": options.index, "baseline": options.baseline_index or options.index}
    roots = {"this": ROOT, **({"baseline": options.baseline.resolve()} if options.baseline else {})}
    results: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in roots}
    for _ in range(options.rounds):
        for name, root in roots.items():
            results[name].append(run(root, [indexes[name], *arguments]))
    print(f"{'':10} {'clients':>7} {'searches/s':>11} {'p50 ms':>8} {'p95 ms':>8} {'CPU ms':>8} {'idle':>6}")
    medians: dict[str, dict[str, dict[str, float]]] = {}
    for name, rounds in results.items():
        medians[name] = {}
        for clients in map(str, CLIENTS):
            keys = rounds[0][clients]
            row = medians[name][clients] = {k: statistics.median(r[clients][k] for r in rounds) for k in keys}
            print(
                f"{name:10} {clients:>7} {row['per_second']:11.1f} {row['p50']:8.2f} {row['p95']:8.2f} "
                f"{row['cpu_ms']:8.2f} {row['idle']:6.0%}"
            )
    most = str(CLIENTS[-1])
    this = medians["this"]
    ratios = {"p95_of_8_to_p50_of_1": this[most]["p95"] / this["1"]["p50"]}
    if "baseline" in medians:
        before = medians["baseline"][most]
        ratios["throughput_of_8"] = this[most]["per_second"] / before["per_second"]
        ratios["cpu_of_8"] = before["cpu_ms"] / this[most]["cpu_ms"]
        ratios["p50_of_1"] = medians["baseline"]["1"]["p50"] / this["1"]["p50"]
        ratios["p95_of_8_to_p50_of_1_before"] = this[most]["p95"] / medians["baseline"]["1"]["p50"]
    print(json.dumps({name: round(ratio, 3) for name, ratio in ratios.items()}))


if __name__ == "__main__":
    main()
