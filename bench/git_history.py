"""Who changed each file of a repository last: a walk of its whole history, and of what is new since a night ago.

Usage: python bench/git_history.py [--commits 20000] [--files 5000] [--new 20]. The repository is made here: each
commit changes three files, every tenth is a merge of a branch that is some commits old.

seconds: `whole` walks everything, as a first night does; `new` what came since, as the next one does; `same`:
nothing came. Each is the least of three.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.ingest.fetching.git.history import History, last_changes
from pipeline.ingest.fetching.git.noted import load_history, save_history
from pipeline.ingest.fetching.git.repository import commit_of, open_local
from pipeline.ingest.fetching.git.tree import entries
from pipeline.ingest.fetching.mirror import Mirror

FIRST_SECOND = 1_600_000_000
BRANCH = 9


def make(folder: Path, commits: int, files: int, new: int) -> None:
    """Branches `then` and `now`, `new` commits apart."""
    chance, parts = random.Random(1), []
    for number in range(commits + new):
        when = FIRST_SECOND + 600 * number
        ref = "then" if number < commits else "now"
        parts += [
            f"commit refs/heads/{ref}\nmark :{number + 1}\ncommitter C <c@example.org> {when} +0000\ndata 1\nx\n"
        ]
        if number == commits:
            parts += [f"from :{number}\n"]
        if number % 10 == BRANCH:
            parts += [f"merge :{number - BRANCH // 2}\n"]
        changed = range(files) if number == 0 else chance.sample(range(files), 3)
        for file in changed:
            text = f"{number} {file}"
            parts += [f"M 644 inline d{file % 100}/{file}.md\ndata {len(text)}\n{text}\n"]
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
    command = ["git", f"--git-dir={folder}", "fast-import", "--quiet"]
    subprocess.run(command, input="".join(parts).encode(), check=True)


def least(call: Callable[[], History]) -> tuple[float, History]:
    """Seconds, and what came of it."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        found = call()
        times.append(time.perf_counter() - started)
    return round(min(times), 3), found


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--new", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make(Path(name) / "made.git", options.commits, options.files, options.new)
        git, mirror = open_local(Path(name) / "made.git", "made"), Mirror(Path(name) / "mirror")
        then, now = commit_of(git, "then"), commit_of(git, "now")
        held = {commit: entries(git, commit) for commit in (then, now)}
        save_history(mirror, last_changes(git, then, held[then]))
        whole, expected = least(lambda: last_changes(git, now, held[now]))
        new, found = least(lambda: last_changes(git, now, held[now], load_history(mirror)))
        save_history(mirror, found)
        same, again = least(lambda: last_changes(git, now, held[now], load_history(mirror)))
        result = {**vars(options), "whole": whole, "new": new, "same": same, "agree": expected == found == again}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
