"""Builds on several Ray nodes of one machine, with made-up vectors at a fixed cost a text.

Usage: python bench/cluster.py efficiency [--chunks 4000] [--shard 100] [--cost 0.01]
       python bench/cluster.py reading [--chunks 16000] [--cost 0.004]
       python bench/cluster.py kills [--count 12] [--chunks 1200] [--cost 0.005] [--seed 0]
       python bench/cluster.py kills --reading [--count 12] [--chunks 16000] [--cost 0.002] [--seed 0]
       python bench/cluster.py memory [--chunks 10000 40000]

`efficiency`: the encode stage with one worker and with two, its start included; 1 would be half the time. The
cost is slept, so what is missing is the price of all but the model: starting, giving out, storing, checking.
`reading`: the same of the ingest stage, with one worker that reads and with two; the cost is slept for chunks whose
tokens are counted once more as they are cut, the rest is real. Below 6 MB (12,000 chunks) a build reads by itself.
`kills`: workers, nodes and drivers are killed in turn, in the middle of their shards, and builds are begun again
until all kills are done; every index is compared with that of one machine, file by file. `kills --reading`: in the
middle of reading, by parts that are staged; of a worker, its actor or the program in it. `memory`: the peak of the
driver when the stages end, at two sizes. All nodes are on this machine: the network is not measured.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cluster_encoder
import made_up

from pipeline.config import Config, load_config
from pipeline.index import manifest as manifests
from pipeline.index.cut.parts import cut_parts
from pipeline.job import build as builder
from pipeline.job.report import record as records

DRIVE = "drive"


def drive(config: Path, cluster: str) -> None:
    """One build, in a process of its own; its report tells the rest."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    builder.build(load_config(config), cluster=cluster)


def started(config: Path, cluster: str, address: str = "", cost: float = 0.0) -> subprocess.Popen[bytes]:
    """A driver of this script."""
    costs = {cluster_encoder.SECONDS: str(cost), cluster_encoder.READING_SECONDS: "0"}
    environment = {**os.environ, **costs} | ({"RAY_ADDRESS": address} if address else {})
    return subprocess.Popen([sys.executable, __file__, DRIVE, str(config), cluster], env=environment)


def built(config: Path, cluster: str, address: str = "", cost: float = 0.0) -> records.BuildRecord:
    """A whole build and its record."""
    code = started(config, cluster, address, cost).wait()
    if code:
        raise SystemExit(f"the build ended with {code}")
    return records.load(load_config(config).index_path)


def collection(folder: Path, chunks: int, shard: int, workers: int = 2, dimension: int = 64) -> Path:
    """A made-up collection with its configuration."""
    folder.mkdir(parents=True)
    made_up.write_collection(folder / "documents.jsonl", chunks // made_up.CHUNKS)
    path = folder / "config.yaml"
    settings = {
        "index": "index",
        "sources": [{"path": "documents.jsonl"}],
        "encoder": {"model": cluster_encoder.WORD, "truncate_dim": dimension},
        "encode": {"shard_chunks": shard},
        "cluster": {
            "cpus": 1,
            "workers": workers,
            "imports": ["cluster_encoder"],
            "start_seconds": 60,
            "attempts": 6,
        },
    }
    path.write_text(json.dumps(settings))
    return path


@contextlib.contextmanager
def nodes(count: int, cost: float, reading_cost: float = 0.0) -> Iterator[Any]:
    """A cluster with a head that computes nothing and `count` nodes of one CPU."""
    own = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH", "")]))
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        cluster_encoder.SECONDS: str(cost),
        cluster_encoder.READING_SECONDS: str(reading_cost),
    }
    from ray.cluster_utils import Cluster

    quiet = {"object_store_memory": 80_000_000, "include_dashboard": False}
    # a node that was killed is missed after two seconds, not after half a minute
    missed = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 4,
    }
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **quiet, "_system_config": missed})
    for _ in range(count):
        cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    try:
        yield cluster
    finally:
        leave: Callable[[], None] = cluster.shutdown
        leave()


def content(config: Config) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """The live segments, and the checksums of all their files."""
    index = config.index_path
    live = manifests.load(index, manifests.latest_generation(index))
    return [(e.segment_id, tuple((file.name, file.checksum) for file in e.files)) for e in live.segments]


def encode_seconds(record: records.BuildRecord) -> float:
    """Wall time of the encode stage."""
    return sum(stage.seconds for stage in record.stages if stage.name == "encode")


def efficiency(folder: Path, chunks: int, shard: int, cost: float) -> dict[str, float]:
    """One worker against two."""
    found: dict[str, float] = {}
    with nodes(2, cost) as cluster:
        for workers in (1, 2):
            config = collection(folder / str(workers), chunks, shard, workers)
            record = built(config, "ray", cluster.address)
            seconds = encode_seconds(record)
            busy = sum(share.seconds for share in record.workers)
            found |= {f"seconds_{workers}": seconds, f"busy_{workers}": busy / workers}
            print(
                f"{workers} workers: {seconds:.1f} s for the stage, {busy / workers:.1f} s of them at work",
                flush=True,
            )
    found["slept"] = chunks * cost
    found["efficiency"] = found["seconds_1"] / (2 * found["seconds_2"])
    found["efficiency_at_work"] = found["busy_1"] / (2 * found["busy_2"])
    return found


def reading(folder: Path, chunks: int, cost: float) -> dict[str, float]:
    """One worker that reads against two."""
    found: dict[str, float] = {}
    with nodes(2, 0.0, cost) as cluster:
        print("workers that read | ingest stage, s | at work, s each | chunks | lost", flush=True)
        for workers in (1, 2):
            record = built(collection(folder / str(workers), chunks, 1000, workers), "ray", cluster.address)
            seconds = sum(stage.seconds for stage in record.stages if stage.name == "ingest")
            shares = record.reading.shares
            if len(shares) != workers:
                raise SystemExit(f"{len(shares)} workers read where {workers} should")
            busy = sum(share.seconds for share in shares) / workers
            read = sum(share.chunks for share in shares)
            found |= {f"seconds_{workers}": seconds, f"busy_{workers}": busy}
            print(f"{workers} | {seconds:.1f} | {busy:.1f} | {read:,} | {record.reading.loss_count}", flush=True)
    found["efficiency"] = found["seconds_1"] / (2 * found["seconds_2"])
    found["efficiency_at_work"] = found["busy_1"] / (2 * found["busy_2"])
    return found


ENCODERS, READERS = (b"ray::Actor",), (b"ray::Reader", b"pipeline.job.prepare.reading_process")


def workers_running(names: Sequence[bytes] = ENCODERS) -> list[int]:
    """Process ids of the actors on this machine that belong to this script's nodes, and of what runs in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            command = (path / "cmdline").read_bytes()
            is_actor = any(name in command for name in names)
            if is_actor and _ancestors(int(path.name)) >= {os.getpid()}:
                found.append(int(path.name))
    return found


def _ancestors(pid: int) -> set[int]:
    found = set()
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.add(pid)
    return found


def kills(
    folder: Path, count: int, chunks: int, cost: float, seed: int, in_reading: bool = False
) -> dict[str, float]:
    """Kill, begin again, compare. `in_reading`: in the middle of reading, not of encoding."""
    rng = random.Random(seed)
    shard = 200 if in_reading else 20
    reference = collection(folder / "local", chunks, shard)
    built(reference, "")
    expected = content(load_config(reference))
    done = {"worker": 0, "node": 0, "driver": 0}
    builds = troubles = losses = 0
    costs = (0.0, cost) if in_reading else (cost, 0.0)
    has_more, names = (_more_parts, READERS) if in_reading else (_more_shards, ENCODERS)
    with nodes(2, *costs) as cluster:

        def kill_worker() -> bool:
            pids = workers_running(names)
            for pid in rng.sample(pids, min(len(pids), 1)):
                os.kill(pid, signal.SIGKILL)
            return bool(pids)

        def kill_node() -> bool:
            cluster.remove_node(rng.choice(list(cluster.worker_nodes)), allow_graceful=False)
            cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
            return True

        how: dict[str, Callable[[], bool]] = {"worker": kill_worker, "node": kill_node}
        kinds = itertools.cycle(done)
        while sum(done.values()) < count:
            config = collection(folder / str(builds), chunks, shard)
            builds += 1
            driver = started(config, "ray", cluster.address, costs[0])
            while driver.poll() is None and sum(done.values()) < count:
                if not has_more(config, driver, rng.randint(2, 6)):
                    break
                kind = next(kinds)
                if kind == "driver":
                    driver.kill()
                    driver.wait()
                    driver = started(config, "ray", cluster.address, costs[0])
                    done[kind] += 1
                else:
                    done[kind] += how[kind]()
            if driver.wait():
                raise SystemExit(f"build {builds} ended with {driver.returncode} after {done}")
            record = records.load(load_config(config).index_path)
            troubles, losses = troubles + len(record.troubles), losses + record.reading.loss_count
            if content(load_config(config)) != expected:
                raise SystemExit(f"build {builds} differs from that of one machine after {done}")
            print(f"build {builds}: the index of one machine; so far {done}", flush=True)
    counts = {"builds": builds, "troubles": troubles, "reader_losses": losses}
    return {**{f"{name}_kills": float(n) for name, n in done.items()}, **counts}


def _more_shards(config: Path, driver: subprocess.Popen[bytes], more: int) -> bool:
    """Wait until so many more shards are stored; whether that came while the driver lived."""
    place = load_config(config).index_path / "staging" / "shards"

    def stored() -> int:
        return sum(1 for path in place.glob("[!.]*")) if place.exists() else 0

    return _grows(stored, driver, more)


def _more_parts(config: Path, driver: subprocess.Popen[bytes], more: int) -> bool:
    """Wait until this driver has written so many more parts of what it reads, and is not done with that."""
    index = load_config(config).index_path
    staged = index / "staging"

    def written() -> int:
        return len(cut_parts(index))

    def is_done() -> bool:
        return (staged / "ingest").exists() or (staged / "shards").exists()

    return _grows(written, driver, more) and not is_done()


def _grows(count: Callable[[], int], driver: subprocess.Popen[bytes], more: int) -> bool:
    """Wait until a count has grown by so much; whether that came while the driver lived. It may shrink first."""
    last, grown = count(), 0
    while driver.poll() is None:
        now = count()
        grown, last = grown + max(0, now - last), now
        if grown >= more:
            return True
        time.sleep(0.02)
    return False


def memory(folder: Path, sizes: Sequence[int]) -> dict[str, float]:
    """The driver's peak memory when its stages end, at each size."""
    found: dict[str, float] = {}
    with nodes(2, 0.0) as cluster:
        for chunks in sizes:
            record = built(collection(folder / str(chunks), chunks, 1000), "ray", cluster.address)
            for stage in record.stages:
                if stage.name in ("ingest", "encode"):
                    found[f"{stage.name}_mb_{chunks}"] = stage.peak_bytes / 1e6
            found[f"encode_s_{chunks}"] = encode_seconds(record)
            print(f"{chunks:,} chunks: {found}", flush=True)
    small, large = sizes[0], sizes[-1]
    found["growth_bytes_a_chunk"] = (
        (found[f"encode_mb_{large}"] - found[f"encode_mb_{small}"]) * 1e6 / (large - small)
    )
    return found


def main() -> None:
    """Run one of the measurements; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["efficiency", "reading", "kills", "memory"])
    parser.add_argument("--chunks", type=int, nargs="+")
    parser.add_argument("--shard", type=int, default=100)
    parser.add_argument("--cost", type=float)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reading", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.what == "efficiency":
            cost = 0.01 if given.cost is None else given.cost
            found = efficiency(folder, (given.chunks or [4000])[0], given.shard, cost)
        elif given.what == "reading":
            cost = 0.004 if given.cost is None else given.cost
            found = reading(folder, (given.chunks or [16_000])[0], cost)
        elif given.what == "kills":
            default = (16_000, 0.002) if given.reading else (1200, 0.005)
            cost = default[1] if given.cost is None else given.cost
            chunks = (given.chunks or default[:1])[0]
            found = kills(folder, given.count, int(chunks), cost, given.seed, given.reading)
        else:
            found = memory(folder, given.chunks or [10_000, 40_000])
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    if sys.argv[1:2] == [DRIVE]:
        drive(Path(sys.argv[2]), sys.argv[3])
    else:
        main()
