"""The shape of the package in numbers: `python -m tests.support.shape` prints what tests and reviews look at.

Leg names are the strings "dense" and "lexical"; a place that names one knows which leg it is, where a leg should.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2] / "pipeline"
MOST_PARAMETERS = 6
LEGS = {"dense", "lexical"}


def modules() -> list[Path]:
    """Every source file of the package."""
    return sorted(ROOT.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(path.read_text("utf-8"))


def dotted(path: Path) -> str:
    """A module's dotted name."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph() -> dict[str, set[str]]:
    """For each module the modules of the package that it imports, late and for types alone included."""
    names = {dotted(path): path for path in modules()}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found: set[str] = set()
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    found.add(whole if whole in names else node.module)
        graph[name] = (found & names.keys()) - {name, "pipeline"}
    del graph["pipeline"]  # the public surface imports the rooms, late
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or in a ring."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(graph.get(name, ()))
        reach[start] = seen
    groups = {frozenset([a, *(b for b in reach[a] if a in reach.get(b, ()))]) for a in graph if a in reach[a]}
    return sorted(sorted(group) for group in groups)


def long_parameter_lists() -> Iterator[tuple[int, str]]:
    """How many parameters a function has, and where it is, if they are more than `MOST_PARAMETERS`."""
    for path in modules():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = len([one for one in given if one.arg not in ("self", "cls")])
                if count > MOST_PARAMETERS:
                    yield count, f"{path.relative_to(ROOT)}: {node.name}"


def leg_names() -> Counter[str]:
    """For each file, how often it names a leg in a string."""
    counts: Counter[str] = Counter()
    for path in modules():
        counts[str(path.relative_to(ROOT))] += sum(
            isinstance(node, ast.Constant) and node.value in LEGS for node in ast.walk(parsed(path))
        )
    return +counts


def main() -> None:
    """Print the counts."""
    folders = Counter(str(path.parent.relative_to(ROOT.parent)) for path in modules() if path.name != "__init__.py")
    folder, files = folders.most_common(1)[0]
    lines, longest = max((len(path.read_text("utf-8").splitlines()), path) for path in modules())
    lists = sorted(long_parameter_lists(), reverse=True)
    named = leg_names()
    rows = {
        "largest folder": f"{files} files: {folder}",
        "largest file": f"{lines} lines: {longest.relative_to(ROOT.parent)}",
        f"functions of over {MOST_PARAMETERS} parameters": f"{len(lists)}, the most {lists[0][0]}: {lists[0][1]}",
        "import circles": f"{len(circles(import_graph()))}",
        "leg names in strings": f"{named.total()} in {len(named)} files",
    }
    sys.stdout.writelines(f"{name:36} {value}\n" for name, value in rows.items())


if __name__ == "__main__":
    main()
