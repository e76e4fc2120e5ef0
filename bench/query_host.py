"""A machine that only searches: what it installs, and a query from a cold process, against the whole distribution.

Usage: python bench/query_host.py [--runs 5] [--wheels DIR]. Builds the handbook's index with the embedded model,
exports it with its model, installs the exported requirements by pip into an empty environment, imports there, and
searches. `--wheels`: a folder of wheels to install from, instead of the registry that pip is configured with.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
QUERY = "how do I roll back a bad build?"
GOAL_MB = 350
HITS = """
import json, sys, pipeline
with pipeline.open_index(sys.argv[1]) as index:
    for query in ("how do I roll back a bad build?", "색인을 되돌리려면"):
        print(json.dumps([[hit.chunk_id, hit.score] for hit in index.search(query, 10)]))
"""

OPENED = """
import os, sys, pipeline
with pipeline.open_index(sys.argv[1]) as index:
    index.search("how do I roll back a bad build?", where=sys.argv[2] or None)
mapped = {line.split()[-1] for line in open("/proc/self/maps") if "site-packages" in line}
imported = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
print(sum(os.path.getsize(path) for path in mapped | {path for path in imported if "site-packages" in path}))
"""
"""Bytes of what a search maps and imports (Linux)."""


def run(command: Sequence[str | Path], folder: Path, environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of one process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [*map(str, command)], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    scale = 1 if sys.platform == "darwin" else 1024
    return (
        time.perf_counter() - started,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * scale / 1e6,
    )


def checked(command: Sequence[str | Path], folder: Path, environment: dict[str, str] | None = None) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


def size_of(paths: Iterable[Path]) -> int:
    """Bytes of files, each once however many names it has."""
    seen: dict[tuple[int, int], int] = {}
    for path in paths:
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def package_bytes(place: Path) -> dict[str, int]:
    """Bytes of each package that is installed in a folder."""
    return {
        found.metadata["Name"]: size_of(Path(str(file.locate())) for file in found.files or [])
        for found in metadata.distributions(path=[str(place)])
    }


def whole_distribution() -> dict[str, int]:
    """Bytes of everything that the package requires, as installed in this environment."""
    waiting, found = ["hybrid-pipeline"], dict[str, int]()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = size_of(Path(str(file.locate())) for file in distribution.files or [])
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name.lower().replace("_", "-"))
    return found


def install(folder: Path, requirements: Path, wheels: Path | None) -> Path:
    """The interpreter of a new environment with the exported requirements and this package."""
    checked([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], folder)
    python = folder / "venv/bin/python"
    source = folder / "source"
    shutil.copytree(ROOT / "pipeline", source / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ]
    from_wheels: list[str | Path] = ["--no-index", "--find-links", wheels] if wheels is not None else []
    checked([*pip, *from_wheels, "-r", requirements], folder)
    build: list[str | Path] = ["--no-build-isolation"] if wheels is not None else []
    wheel: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        *build,
        "-w",
        folder,
        source,
    ]
    checked(wheel, folder)
    checked([*pip, *folder.glob("hybrid_pipeline-*.whl")], folder)
    return python


def table(title: str, sizes: dict[str, int], most: int = 8) -> int:
    """Print the largest of some packages and all of them together, which is returned in MB."""
    print(f"{title}: {sum(sizes.values()) / 1e6:,.0f} MB")
    for name, size in sorted(sizes.items(), key=lambda pair: -pair[1])[:most]:
        print(f"    {name:28} {size / 1e6:8,.0f} MB")
    return round(sum(sizes.values()) / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--wheels", type=Path)
    options = parser.parse_args()
    bare = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        here = {**os.environ, "PYTHONPATH": str(ROOT)}
        builder: list[str | Path] = [sys.executable, "-m", "pipeline"]
        source = json.dumps(str(ROOT / "data/handbook"))
        (folder / "config.yaml").write_text(f"index: index\nsources: [{{path: {source}}}]\n")
        checked([*builder, "--quiet", "build"], folder, here)
        checked([*builder, "export", "index.tar.zst", "--with-model"], folder, here)
        checked([*builder, "export", "exported", "--with-model"], folder, here)
        python = install(folder, folder / "exported/requirements.txt", options.wheels)
        (place,) = folder.glob("venv/lib/python3*/site-packages")
        missing = "import importlib.util as i; print([n for n in ('torch', 'transformers') if i.find_spec(n)])"
        assert checked([python, "-c", missing], folder, bare).strip() == "[]"
        imported = run([python, "-m", "pipeline", "import", "index.tar.zst", "imported"], folder, bare)
        first = run([python, "-m", "pipeline", "query", QUERY, "--index", "imported"], folder, bare)
        alike = checked([sys.executable, "-c", HITS, "index"], folder, here) == checked(
            [python, "-c", HITS, "imported"], folder, bare
        )
        commands: dict[str, tuple[list[str | Path], dict[str, str]]] = {
            "query host": ([python, "-m", "pipeline", "query", QUERY, "--index", "imported"], bare),
            "whole distribution": ([*builder, "query", QUERY, "--index", "index"], here),
        }
        opened_mb = [
            round(int(checked([python, "-c", OPENED, "imported", where], folder, bare)) / 1e6)
            for where in ("", "source != ''")
        ]
        measured: dict[str, list[tuple[float, float, float]]] = {label: [] for label in commands}
        for round_ in range(options.runs + 1):
            for label, (command, environment) in commands.items():
                result = run(command, folder, environment)
                if round_:
                    measured[label].append(result)
        installed_mb = table("installed on the query host", package_bytes(place))
        whole_mb = table("the whole distribution", whole_distribution())
        print(f"of it a search opens {opened_mb[0]} MB, with a filter {opened_mb[1]} MB")
        archive_mb = round((folder / "index.tar.zst").stat().st_size / 1e6)
    print(f"archive with its model: {archive_mb} MB, imported in {imported[0]:.2f} s")
    print(f"{'one query, cold process':24} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}")
    print(f"{'the first ever':24} {first[0]:8.2f} {first[1]:8.2f} {first[2]:8.0f}")
    medians = {}
    for label, rows in measured.items():
        medians[label] = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"{label:24} {medians[label][0]:8.2f} {medians[label][1]:8.2f} {medians[label][2]:8.0f}")
    print(
        json.dumps(
            {
                "installed_mb": installed_mb,
                "opened_mb": opened_mb,
                "goal_mb": GOAL_MB,
                "whole_mb": whole_mb,
                "archive_mb": archive_mb,
                "same_hits": alike,
                "first_query_s": round(first[0], 3),
                "query_s": round(medians["query host"][0], 3),
                "query_cpu_s": round(medians["query host"][1], 3),
                "cpu_ratio": round(medians["query host"][1] / medians["whole distribution"][1], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
