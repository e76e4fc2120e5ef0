"""A walk of what is new finds what a walk of everything would: merges, wrong clocks, rewritten ends."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.ingest.fetching.git.command import Git
from pipeline.ingest.fetching.git.history import History, last_changes
from pipeline.ingest.fetching.git.noted import HISTORY, load_history, save_history
from pipeline.ingest.fetching.git.repository import open_local
from pipeline.ingest.fetching.git.tree import entries
from pipeline.ingest.fetching.mirror import Mirror
from tests.faults import stub
from tests.ingest.fetching.fetched_nights import documents, mirror, source_config
from tests.ingest.fetching.git.repositories import FIRST_SECOND, Repository

NAMES = ["a.md", "b.md", "c/d.md", "c/e.md", "f\n.md"]
Tree = dict[str, tuple[str, str]]
"""Mode and text by name."""


@dataclass
class Made:
    """Commits of a made repository, in the order of their marks."""

    trees: list[Tree] = field(default_factory=list)
    parents: list[list[int]] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def ancestors(self, number: int) -> set[int]:
        """A commit and all that lead to it."""
        found, waiting = set[int](), [number]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.parents[one]
        return found

    def expected(self, number: int) -> dict[str, str]:
        """By definition: of all commits that gave a file what no parent had, the last that gave what it has now."""
        best: dict[str, tuple[int, str]] = {}
        for one in self.ancestors(number):
            for name, entry in self.trees[one].items():
                gave = all(self.trees[parent].get(name) != entry for parent in self.parents[one])
                now = self.trees[number].get(name)
                if gave and now is not None and now[1] == entry[1]:
                    best[name] = max(best.get(name, (0, "")), (self.seconds[one], self.ids[one]))
        return {name: commit for name, (_, commit) in best.items()}


def made(folder: Path, chance: random.Random, count: int, is_skewed: bool) -> tuple[Git, Made]:
    """A repository with random commits: ends to go on from, merges, deletions, files that move, and new roots."""
    repository, history, stream = Repository(folder, "--bare"), Made(), bytearray()
    for number in range(count):
        some = chance.sample(range(number), min(number, 2 if chance.random() < 0.3 else 1))
        parents = [] if chance.random() < 0.05 else [max(one, number - 6) for one in some]
        parents = list(dict.fromkeys(parents))
        tree: Tree = {}
        for parent in parents:
            tree |= {name: entry for name, entry in history.trees[parent].items() if chance.random() < 0.9}
        for name in chance.sample(NAMES, chance.choice([0, 1, 1, 2])):
            tree[name] = (chance.choice(["100644", "100755"]), f"text {chance.randrange(3)}")
        if tree and chance.random() < 0.15:
            tree[chance.choice(NAMES)] = tree.pop(chance.choice(sorted(tree)))
        now = FIRST_SECOND + (chance.randrange(20) if is_skewed else number // 2)
        history.trees.append(tree)
        history.parents.append(parents)
        history.seconds.append(now)
        lines = [f"commit refs/heads/end-{number}", f"mark :{number + 1}"]
        lines += [f"author A{number % 3} <a@example.org> {now} +0000", f"committer C <c@example.org> {now} +0900"]
        lines += ["data 1", "x", *(f"from :{one + 1}" for one in parents[:1])]
        lines += [*(f"merge :{one + 1}" for one in parents[1:]), "deleteall"]
        for name, (mode, text) in sorted(tree.items()):
            quoted = '"' + name.replace("\n", "\\n") + '"'
            lines += [f"M {mode} inline {quoted}", f"data {len(text)}", text]
        stream += "\n".join([*lines, "", ""]).encode()
    repository.git("fast-import", "--quiet", "--export-marks=marks", data=bytes(stream))
    marks = dict(line.split() for line in (folder / "marks").read_text().splitlines())
    history.ids = [marks[f":{number + 1}"] for number in range(count)]
    return open_local(folder, "made"), history


@pytest.mark.parametrize("seed", range(6))
def test_nights_find_what_one_walk_of_everything_finds(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    git, history = made(tmp_path / "made", chance, 40, is_skewed=seed % 2 == 1)
    held = {number: entries(git, history.ids[number]) for number in range(40)}
    for _ in range(15):
        new = chance.randrange(1, 40)
        earlier = sorted(history.ancestors(new) - {new})
        old = chance.choice(earlier if earlier and chance.random() < 0.9 else range(40))
        wanted = [entry for entry in held[old] if chance.random() < 0.9]  # `include` may be another in one night
        known = last_changes(git, history.ids[old], wanted)
        save_history(Mirror(tmp_path / "mirror"), known)
        whole = last_changes(git, history.ids[new], held[new])
        assert {name: change.commit for name, change in whole.changes.items()} == history.expected(new)
        assert last_changes(git, history.ids[new], held[new], load_history(Mirror(tmp_path / "mirror"))) == whole


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was walked, a line a walk."""
    found: list[str] = []
    original = Git.start

    @contextmanager
    def started(self: Git, *arguments: str, is_fed: bool = False) -> Iterator[object]:
        with original(self, *arguments, is_fed=is_fed) as running:
            if arguments[0] == "log":
                found.append(" ".join(one for one in arguments[1:] if not one.startswith("-")))
                found[-1] = found[-1] or "some"
            yield running

    monkeypatch.setattr(Git, "start", started)
    return found


def changed(repository: Repository, before: History | None = None) -> History:
    git = open_local(repository.folder, "notes")
    return last_changes(git, repository.git("rev-parse", "HEAD"), entries(git, "HEAD"), before)


def test_only_commits_since_the_last_night_are_walked(tmp_path: Path, walked: list[str]) -> None:
    repository = Repository(tmp_path / "notes")
    first = repository.commit(a="1", b="1")
    known = changed(repository)
    assert (changed(repository, known), walked) == (known, [first])
    walked.clear()
    second = repository.commit(b="2", c="1")
    known = changed(repository, known)
    assert walked == [f"^{first} {second}"]
    assert {name: change.commit for name, change in known.changes.items()} == {
        "a.md": first,
        "b.md": second,
        "c.md": second,
    }


def test_a_branch_that_is_older_than_the_last_night_has_its_time_looked_at(
    tmp_path: Path, walked: list[str]
) -> None:
    repository = Repository(tmp_path / "notes")
    repository.commit(a="1", b="1")
    repository.git("checkout", "-qb", "side")
    side = repository.commit(b="side")
    repository.git("checkout", "-q", "main")
    repository.commit(b="side")  # the same content, later, and then another one
    given = repository.git("rev-parse", "HEAD")
    repository.commit(b="1")
    known = changed(repository)
    repository.git("merge", "-q", "-s", "ours", "side", "-m", "merge")
    repository.commit(b="side")
    repository.git("checkout", "-q", "--detach")
    last = repository.git("rev-parse", "HEAD")
    assert changed(repository, known).changes["b.md"].commit == last
    repository.git("commit", "-q", "--allow-empty", "-m", "x")
    repository.git("checkout", "-q", "main", "--")
    repository.git("reset", "-q", "--hard", "HEAD~2")
    repository.git("merge", "-q", "-s", "recursive", "-X", "theirs", "side", "-m", "merge")
    walked.clear()
    found = changed(repository, known)
    assert found.files == changed(repository).files
    assert walked[0].startswith("^")
    assert walked[1] == "some"
    assert found.changes["b.md"].commit in (given, side)


def test_a_rewritten_history_is_walked_whole(tmp_path: Path, walked: list[str]) -> None:
    repository = Repository(tmp_path / "notes")
    repository.commit(a="1")
    repository.commit(a="2")
    known = changed(repository)
    repository.git("commit", "-q", "--amend", "--author", "Bo <b@example.org>", "-m", "other")
    now = repository.git("rev-parse", "HEAD")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "-q", "--prune=now")  # the commit that was known is there no more
    walked.clear()
    assert changed(repository, known).changes["a.md"].commit == now
    assert walked == [now]


def test_a_history_that_is_seen_otherwise_is_walked_whole(tmp_path: Path, walked: list[str]) -> None:
    repository = Repository(tmp_path / "notes")
    first = repository.commit(a="1", b="1")
    repository.commit(b="2")
    repository.git("clone", "-q", "--depth=1", f"file://{repository.folder}", "../shallow")
    shallow = Repository(tmp_path / "shallow")
    known = changed(shallow)
    assert known.changes["a.md"].commit != first  # all that is there came with the one commit
    shallow.git("fetch", "-q", "--unshallow")
    assert changed(shallow, known).changes["a.md"].commit == first


def test_nights_take_over_what_is_noted(tmp_path: Path, walked: list[str]) -> None:
    repository = Repository(tmp_path / "notes")
    first = repository.commit(a="apples", b="pears")
    config = source_config(tmp_path, git="notes")
    stub.build(config)
    assert walked == [first]
    second = repository.commit(b="plums")
    stub.build(config)
    assert walked == [first, f"^{first} {second}"]
    found = {name: hit.metadata["commit"] for name, hit in documents(config).items()}
    assert found == {"a.md": first, "b.md": second}
    walked.clear()
    noted = mirror(config) / HISTORY
    noted.write_bytes(noted.read_bytes().replace(second.encode(), first.encode()))
    repository.commit(c="figs")
    stub.build(config)
    assert [one.startswith("^") for one in walked] == [False]
    assert documents(config)["b.md"].metadata["commit"] == second
