"""What is read of a repository: its tree, its history in one walk, its blobs; and what cannot be, in words."""

from __future__ import annotations

import logging
import os
import random
import signal
from pathlib import Path

import pytest

from pipeline.config import SourceSettings
from pipeline.errors import SourceError
from pipeline.ingest.fetching.git import command
from pipeline.ingest.fetching.git.blobs import Blobs, is_lfs_pointer
from pipeline.ingest.fetching.git.command import Git, environment, failure
from pipeline.ingest.fetching.git.history import last_changes
from pipeline.ingest.fetching.git.repository import (
    check_place,
    check_ref,
    commit_of,
    fetched,
    is_remote,
    open_local,
)
from pipeline.ingest.fetching.git.selection import Chosen, chosen, resolved
from pipeline.ingest.fetching.git.tree import Entry, Kind, entries
from tests.ingest.fetching.git.repositories import FIRST_SECOND, HOUR, Repository
from tests.ingest.fetching.web.web_server import Page, running_site


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "notes")


def opened(repository: Repository) -> Git:
    return open_local(repository.folder, "notes")


STRANGE = [
    "x\ny.md",
    'quo"ted\\.md',
    "tab\there.md",
    ":colon.md",
    "\x01one.md",
    "-dash.md",
    "한글 이름.md",
    " space .md",
]


def test_names_are_read_as_they_are(repository: Repository) -> None:
    for name in STRANGE:
        repository.write(name, name)
    commit = repository.commit()
    git = opened(repository)
    found = entries(git, commit)
    assert [entry.name for entry in found] == sorted(STRANGE)
    assert {change.commit for change in last_changes(git, commit, found).changes.values()} == {commit}
    assert sorted(last_changes(git, commit, found).changes) == sorted(STRANGE)
    with Blobs(git) as blobs:
        assert [blobs.content(entry.blob).decode() for entry in found] == sorted(STRANGE)


def test_a_name_that_is_no_utf8_comes_back_as_python_has_it(repository: Repository) -> None:
    blob = repository.git("hash-object", "-w", "--stdin", data=b"text")
    repository.git("update-index", "-z", "--index-info", data=b"100644 %s\tcaf\xe9.md\0" % blob.encode())
    repository.commits += 1
    repository.git("commit", "-qm", "one")
    (entry,) = entries(opened(repository), "HEAD")
    assert os.fsencode(entry.name) == b"caf\xe9.md"
    assert list(last_changes(opened(repository), "HEAD", [entry]).changes) == [entry.name]


def test_the_last_change_of_each_file_is_the_newest_commit_that_gave_its_content(repository: Repository) -> None:
    first = repository.commit(author="Ada", a="1", b="1", c="1")
    second = repository.commit(author="한별", b="2")
    third = repository.commit(author="Cy\x02Bo", c="2")
    fourth = repository.commit(author="Di", c="1")  # as it was, but changed all the same
    git = opened(repository)
    found = last_changes(git, "HEAD", entries(git, "HEAD")).changes
    assert {name: change.commit for name, change in found.items()} == {
        "a.md": first,
        "b.md": second,
        "c.md": fourth,
    }
    assert found["b.md"].author == "한별"
    assert found["a.md"].committed == "2023-11-14T23:13:20Z"  # FIRST_SECOND and an hour, in UTC
    assert FIRST_SECOND + HOUR == 1_700_003_600
    earlier = last_changes(git, third, entries(git, third)).changes
    assert (earlier["c.md"].commit, earlier["c.md"].author) == (third, "Cy\x02Bo")


def test_a_merge_is_named_for_what_it_alone_brought(repository: Repository) -> None:
    repository.commit(a="1", b="1", both="1")
    repository.git("checkout", "-qb", "side")
    side = repository.commit(b="side", both="side")
    repository.git("checkout", "-q", "main")
    main = repository.commit(a="main", both="main")
    repository.git("merge", "-q", "--no-commit", "--no-ff", "-X", "ours", "side")
    merge = repository.commit(both="settled")
    git = opened(repository)
    found = last_changes(git, "HEAD", entries(git, "HEAD")).changes
    assert {name: change.commit for name, change in found.items()} == {
        "a.md": main,
        "b.md": side,
        "both.md": merge,
    }


def test_one_walk_agrees_with_a_walk_for_each_file(repository: Repository) -> None:
    chance = random.Random(5)
    for step in range(40):
        repository.commit(**{chance.choice("abcdefgh"): f"{step}", chance.choice("abcdefgh"): f"{step}!"})
    git = opened(repository)
    for name, change in last_changes(git, "HEAD", entries(git, "HEAD")).changes.items():
        assert change.commit == repository.git("log", "-1", "--format=%H", "--", name), name


def test_nothing_is_walked_for_no_file(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit(a="1")
    git = opened(repository)
    monkeypatch.setattr(command.shutil, "which", lambda name: pytest.fail("git was called"))
    assert last_changes(git, "HEAD", []).changes == {}


@pytest.mark.parametrize("options", [(), ("--object-format=sha256",)], ids=["sha1", "sha256"])
def test_blobs_are_what_was_committed(tmp_path: Path, options: tuple[str, ...]) -> None:
    repository = Repository(tmp_path / "notes", *options)
    contents = {"empty.md": b"", "lines.md": b"a\n\nb\n", "binary.pdf": bytes(range(256)) * 9000}
    for name, content in contents.items():
        repository.write(name, content)
    repository.commit()
    git = opened(repository)
    with Blobs(git) as blobs:
        for entry in [*entries(git, "HEAD"), *entries(git, "HEAD")]:
            assert blobs.content(entry.blob) == contents[entry.name]
            assert entry.size == len(contents[entry.name])


def test_a_missing_and_a_damaged_blob_are_told(repository: Repository) -> None:
    repository.commit(a="apples and pears", b="plums")
    git = opened(repository)
    one, other = entries(git, "HEAD")
    with Blobs(git) as blobs:
        with pytest.raises(SourceError, match=r"notes: the blob 0{40} cannot be read; .*git fsck"):
            blobs.content("0" * 40)
        assert blobs.content(other.blob) == b"plums"  # and the next one is still right
    objects = git.folder / "objects"
    path = objects / one.blob[:2] / one.blob[2:]
    path.chmod(0o644)
    path.write_bytes((objects / other.blob[:2] / other.blob[2:]).read_bytes())
    with Blobs(git) as blobs, pytest.raises(SourceError, match="cannot be read"):
        blobs.content(one.blob)


def test_a_pointer_of_lfs_is_known() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    assert is_lfs_pointer(pointer)
    assert not is_lfs_pointer(b"A page about version https://git-lfs.github.com/spec/v1")
    assert not is_lfs_pointer(pointer + b"x" * 1024)


def test_bare_working_and_linked_folders_are_opened(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit(a="1")
    repository.git("clone", "-q", "--bare", ".", "../bare.git")
    repository.git("worktree", "add", "-q", "--detach", "../linked")
    for folder in (repository.folder, repository.folder / ".git", tmp_path / "bare.git", tmp_path / "linked"):
        assert commit_of(open_local(folder, "notes"), "HEAD") == commit


def test_what_is_no_repository_is_told_with_the_cure(repository: Repository, tmp_path: Path) -> None:
    repository.write("docs/a.md", "1")
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError, match="notes: no such folder; correct `git`"):
        open_local(tmp_path / "nowhere", "notes")
    with pytest.raises(SourceError, match="notes: no git repository; name its top folder"):
        open_local(tmp_path / "plain", "notes")
    with pytest.raises(SourceError, match=r"a folder inside the repository .*`include`"):
        open_local(repository.folder / "docs", "notes")
    with pytest.raises(SourceError, match="notes: has no commits yet"):
        commit_of(opened(repository), "HEAD")
    repository.commit()
    with pytest.raises(SourceError, match=r"has no branch, tag or commit 'gone'; .*correct `ref`"):
        commit_of(opened(repository), "gone")


def test_a_machine_without_git_is_told(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SourceError, match="notes: git is not installed; install it"):
        open_local(repository.folder, "notes")


def test_a_hook_around_the_build_does_not_change_the_repository(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit(a="1")
    other = Repository(tmp_path / "other")
    other.commit(b="1")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / "index"))
    assert commit_of(opened(repository), "HEAD") == commit
    kept = environment({"GIT_ASKPASS": "ask", "GIT_SSH_COMMAND": "ssh", "GIT_WORK_TREE": "x", "HOME": "h"})
    assert {name for name in kept if name in ("GIT_ASKPASS", "GIT_SSH_COMMAND", "HOME", "GIT_WORK_TREE")} == {
        "GIT_ASKPASS",
        "GIT_SSH_COMMAND",
        "HOME",
    }


@pytest.mark.parametrize(
    "place",
    ["--upload-pack=touch /tmp/x", "ext::sh -c touch", "fd::17", "https://me:pw@host/x", "https://token@host/x",
     "ssh://git:pw@host/x", "gopher://host/x", "a\nb"],
)  # fmt: skip
def test_places_that_hold_options_commands_or_passwords_are_refused(place: str) -> None:
    with pytest.raises(SourceError, match="sources: git:") as raised:
        check_place(place)
    assert "pw" not in str(raised.value)
    assert "token@" not in str(raised.value)


@pytest.mark.parametrize(
    ("place", "remote"),
    [("../notes", False), ("/srv/x.git", False), ("C:stuff", True), ("git@host:group/x.git", True),
     ("https://host/x.git", True), ("ssh://git@host/x", True), ("file:///srv/x", True), ("notes/a:b", False)],
)  # fmt: skip
def test_addresses_and_paths_are_told_apart(place: str, remote: bool) -> None:
    check_place(place)
    assert is_remote(place) is remote


@pytest.mark.parametrize(
    "ref", ["", "-x", "--upload-pack=x", "a b", "a:b", "+main", "main..x", "x@{1}", "^main", "a\n"]
)
def test_refs_that_git_would_take_for_something_else_are_refused(ref: str) -> None:
    with pytest.raises(SourceError, match=r"notes: ref: .* names no branch, tag or commit"):
        check_ref("notes", ref)


@pytest.mark.parametrize("ref", ["main", "HEAD", "v1.0", "feature/x", "HEAD~2", "refs/tags/v1", "0" * 40, "한글"])
def test_refs_that_name_something_are_taken(ref: str) -> None:
    check_ref("notes", ref)


def test_passwords_are_left_out_of_what_git_says() -> None:
    said = b"warning: x\nfatal: unable to access 'https://me:secret@host/x/': 403\nfatal: more\n"
    assert str(failure("notes", said)) == "notes: git says: unable to access 'https://host/x/': 403"
    assert "safe.directory" in str(failure("notes", b"fatal: detected dubious ownership in repository at '/x'"))
    assert str(failure("notes", b"")) == "notes: git says: failed"


def test_a_remote_repository_is_copied_and_brought_up_to_date(repository: Repository, tmp_path: Path) -> None:
    first, place, cache = repository.commit(a="1"), f"file://{repository.folder}", tmp_path / "cache"
    assert commit_of(fetched(cache, place, "main", "notes"), "main", is_fetched=True) == first
    repository.git("tag", "v1")
    second = repository.commit(a="2")
    git = fetched(cache, place, "HEAD", "notes")
    assert commit_of(git, "HEAD", is_fetched=True) == second
    assert commit_of(fetched(cache, place, "v1", "notes"), "v1", is_fetched=True) == first
    repository.git("reset", "-q", "--hard", first)
    assert commit_of(fetched(cache, place, "main", "notes"), "main", is_fetched=True) == first  # forced
    assert len(list(cache.iterdir())) == 1
    with pytest.raises(SourceError, match="notes: has no branch or tag 'gone'; correct `ref`"):
        fetched(cache, place, "gone", "notes")
    with pytest.raises(SourceError, match=r"notes: git says: .*`git ls-remote`"):
        fetched(cache, f"file://{tmp_path}/nowhere", "main", "notes")


@pytest.mark.parametrize("damage", ["lock", "head", "config"])
def test_a_copy_that_a_run_left_half_done_is_made_again(
    repository: Repository, tmp_path: Path, damage: str
) -> None:
    commit, place = repository.commit(a="1"), f"file://{repository.folder}"
    copy = fetched(tmp_path / "cache", place, "main", "notes").folder
    if damage == "lock":
        (copy / "refs/pipeline/source.lock").write_bytes(b"")
        commit = repository.commit(a="2")
    elif damage == "head":
        (copy / "HEAD").unlink()
    else:
        (copy / "config").unlink()
    assert commit_of(fetched(tmp_path / "cache", place, "main", "notes"), "main", is_fetched=True) == commit


def file(name: str, kind: Kind = Kind.FILE) -> Entry:
    return Entry(name, kind, f"blob of {name}", 1)


def choose(links: dict[str, str], *names: str, **settings: object) -> list[Chosen]:
    held = [file(name) for name in names] + [file(name, Kind.LINK) for name in links]
    source = SourceSettings.model_validate({"path": "x", **settings})
    return chosen(held, source, lambda entry: links[entry.name], "notes")


def test_files_are_chosen_as_in_a_folder() -> None:
    names = ["a.md", "b.exe", ".hidden/c.md", "d/.e.md", "d/f.txt", "old/g.md"]
    assert [one.name for one in choose({}, *names)] == ["a.md", "d/f.txt", "old/g.md"]
    assert [one.name for one in choose({}, *names, exclude=["old"])] == ["a.md", "d/f.txt"]
    assert [one.name for one in choose({}, *names, include=["**/*.exe", "d/*"])] == ["b.exe", "d/f.txt"]


def test_links_lead_to_files_once_and_never_out() -> None:
    links = {"same.md": "a.md", "d/up.md": "../.hidden/c.md", "out.md": "/etc/passwd", "up.md": "../x.md"}
    links |= {"gone.md": "nowhere.md", "loop.md": "loop.md", "folder": ".hidden/", "plain": "a.md"}
    found = choose(links, "a.md", ".hidden/c.md", ".hidden/deep/e.md")
    assert {one.name: one.entry.name for one in found if one.problem is None} == {
        "a.md": "a.md",
        "d/up.md": ".hidden/c.md",
        "folder/deep/e.md": ".hidden/deep/e.md",
    }
    assert {one.name for one in found if one.problem is not None} == {"out.md", "up.md", "gone.md", "loop.md"}


def test_links_are_followed_inside_paths() -> None:
    links = {"now": "versions/2", "versions/2": "two", "round": "round/x"}
    held = {name: file(name, Kind.LINK) for name in links} | {"versions/two/a.md": file("versions/two/a.md")}

    def target(entry: Entry) -> str:
        return links[entry.name]

    assert resolved("now/a.md", held, target) == "versions/two/a.md"
    assert resolved("now/../two/a.md", held, target) == "versions/two/a.md"
    assert resolved("round/x", held, target) is None
    assert resolved("../a.md", held, target) is None


def test_a_submodule_is_told_unless_it_is_excluded(caplog: pytest.LogCaptureFixture) -> None:
    held = [file("a.md"), file("vendor/lib", Kind.SUBMODULE)]
    for exclude, told in ([["vendor"], 0], [[], 1]):
        with caplog.at_level(logging.WARNING):
            assert [
                one.name
                for one in chosen(held, SourceSettings(path="x", exclude=exclude), lambda entry: "", "notes")
            ] == ["a.md"]
        assert len(caplog.records) == told
    assert "notes: the submodule vendor/lib is not read" in caplog.text


def test_a_server_that_wants_a_login_is_not_answered_but_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GIT_ASKPASS", raising=False)
    monkeypatch.delenv("SSH_ASKPASS", raising=False)
    with running_site() as site:
        asked = Page(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        site.pages["/x/info/refs?service=git-upload-pack"] = asked
        with pytest.raises(
            SourceError, match=r"notes: git says: could not read Username .*set up a credential helper"
        ):
            fetched(tmp_path / "cache", site.url("/x"), "main", "notes")


def test_a_fetch_that_is_broken_off_leaves_no_git_behind(repository: Repository) -> None:
    repository.commit(a="1")
    with pytest.raises(KeyboardInterrupt), opened(repository).start("cat-file", "--batch", is_fed=True) as running:
        raise KeyboardInterrupt
    assert running.process.returncode == -signal.SIGKILL
