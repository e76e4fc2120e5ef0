"""A repository as a source: nights that read what changed by blob id, and files that are told and not indexed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import DeletionGuardError, SourceError
from pipeline.ingest.fetching.git.blobs import Blobs
from pipeline.ingest.fetching.git.command import Git
from tests.faults import stub
from tests.ingest.fetching.fetched_nights import documents, mirror, source_config
from tests.ingest.fetching.git.repositories import Repository
from tests.support.reading import names_read


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "notes")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return names_read(monkeypatch)


@pytest.mark.parametrize("kind", ["working folder", "bare", "remote"])
def test_nights_over_a_repository(repository: Repository, tmp_path: Path, read: list[str], kind: str) -> None:
    first = repository.commit(author="Ada", a="apples", b="pears", c="plums")
    place = {"working folder": "notes", "bare": "bare.git", "remote": f"file://{tmp_path}/notes"}[kind]

    def push() -> None:
        if kind == "bare":
            repository.git("push", "-q", "--force", "../bare.git", "main")

    if kind == "bare":
        Repository(tmp_path / "bare.git", "--bare")
    push()
    config = source_config(tmp_path, git=place, ref="main", prefix="notes/")
    assert stub.build(config).added == 3
    assert sorted(read) == ["notes/a.md", "notes/b.md", "notes/c.md"]
    hit = documents(config)["notes/a.md"]
    assert hit.source == f"{place}@main/a.md"
    assert {key: hit.metadata[key] for key in ("commit", "author", "committed", "blob")} == {
        "commit": first,
        "author": "Ada",
        "committed": "2023-11-14T23:13:20Z",
        "blob": repository.git("rev-parse", "HEAD:a.md"),
    }

    read.clear()
    repository.write("a.md", "apples, but not committed")
    report = stub.build(config)
    assert (read, report.published, report.unchanged) == ([], False, 3)

    repository.git("checkout", "-q", "a.md")
    repository.git("rm", "-q", "c.md")
    second = repository.commit(author="Bo", b="pears and figs", d="dates")
    push()
    report = stub.build(config)
    assert (sorted(read), report.added, report.changed, report.deleted, report.unchanged) == (
        ["notes/b.md", "notes/d.md"],
        1,
        1,
        1,
        1,
    )
    found = documents(config)
    assert sorted(found) == ["notes/a.md", "notes/b.md", "notes/d.md"]
    assert (found["notes/b.md"].metadata["commit"], found["notes/b.md"].metadata["author"]) == (second, "Bo")
    assert found["notes/a.md"].metadata["commit"] == first
    assert found["notes/b.md"].text == "pears and figs"

    read.clear()
    repository.git("reset", "-q", "--hard", first)
    push()
    assert stub.build(config).changed == 1  # a force push goes back
    assert sorted(documents(config)) == ["notes/a.md", "notes/b.md", "notes/c.md"]


def test_a_night_of_nothing_loads_no_content(
    repository: Repository, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit(a="apples", b="pears")
    config = source_config(tmp_path, git="notes")
    stub.build(config)
    read.clear()
    monkeypatch.setattr(Blobs, "blocks", lambda self, blob: pytest.fail("a blob was loaded"))
    assert (stub.build(config).unchanged, read) == (2, [])


def test_a_changed_commit_with_the_same_content_is_told_and_a_moved_file_is_moved(
    repository: Repository, tmp_path: Path, read: list[str]
) -> None:
    repository.commit(a="apples", b="pears")
    config = source_config(tmp_path, git="notes")
    stub.build(config)
    repository.commit(a="other")
    latest = repository.commit(a="apples")
    repository.git("mv", "b.md", "c.md")
    repository.commit()
    stub.build(config)
    found = documents(config)
    assert found["a.md"].metadata["commit"] == latest
    assert sorted(found) == ["a.md", "c.md"]


def test_the_same_files_by_path_and_by_git_give_the_same_texts(repository: Repository, tmp_path: Path) -> None:
    repository.write("docs/page.html", "<title>T</title><main><h1>Head</h1><p>text of a page</p></main>")
    repository.write("docs/rows.csv", "id,text\n1,one\n2,two\n")
    repository.write("docs/lines.jsonl", '{"id": "x", "text": "line"}\n')
    repository.write("docs/한글.txt", "한국어 문장")
    repository.write("docs/.hidden.md", "hidden")
    repository.write("docs/picture.png", b"\x89PNG")
    repository.write("program.py", "def f():\n    return 1\n")
    repository.commit(a="# Title\n\ntext")
    by_git = source_config(tmp_path / "one", git=str(repository.folder))
    by_path = source_config(tmp_path / "two", path=str(repository.folder))
    stub.build(by_git)
    stub.build(by_path)
    one, two = documents(by_git), documents(by_path)
    assert sorted(one) == sorted(two)
    assert {name: hit.text for name, hit in one.items()} == {name: hit.text for name, hit in two.items()}


def test_what_cannot_be_read_is_rejected_with_its_reason(repository: Repository, tmp_path: Path) -> None:
    repository.write("large.md", "x" * 20_000)
    repository.write("many.jsonl", "".join(f'{{"id": "{i}", "text": "text {i} {"x" * 300}"}}\n' for i in range(50)))
    repository.write("pointer.md", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n")
    repository.write("binary.txt", bytes(range(256)))
    (repository.folder / "out.md").symlink_to("/etc/hostname")
    (repository.folder / "linked.md").symlink_to(".hidden/text.md")
    repository.write(".hidden/text.md", "behind a link")
    repository.commit(a="apples")
    blob = repository.git("hash-object", "-w", "--stdin", data=b"text")
    repository.git("update-index", "-z", "--index-info", data=b"100644 %s\tcaf\xe9.md\0" % blob.encode())
    repository.git("commit", "-qm", "name")
    config = source_config(tmp_path, git="notes").model_copy(
        update={"ingest": stub.stub_config(tmp_path, ingest={"max_document_mb": 0.01}).ingest}
    )
    report = stub.build(config)
    reasons = {rejection.file.rpartition("/")[2]: rejection.reason for rejection in report.rejections}
    assert "0.0 MB is more than ingest.max_document_mb=0.01" in reasons["large.md"]
    assert "pointer of Git LFS" in reasons["pointer.md"]
    assert "NUL byte" in reasons["binary.txt"] or "binary" in reasons["binary.txt"]
    assert "a link to /etc/hostname, which is no file of the repository" in reasons["out.md"]
    assert "not valid UTF-8" in reasons["caf\ufffd.md"]
    assert len(reasons) == 5
    found = documents(config)
    assert found["linked.md"].text == "behind a link"
    assert len(found) == 50 + 2
    assert not any(path.stat().st_size == 20_000 for path in mirror(config).rglob("*"))  # not even loaded


def test_an_empty_file_that_marks_a_package_is_no_document(repository: Repository, tmp_path: Path) -> None:
    repository.write("code/__init__.py", b"")
    repository.write("code/empty.py", b"")
    repository.write("code/m.py", "X = 1\n")
    (repository.folder / "linked").symlink_to("code")
    repository.commit()
    config = source_config(tmp_path, git="notes")
    report = stub.build(config)
    assert [one.file.rpartition("/")[2] for one in report.rejections] == ["empty.py"]
    assert list(documents(config)) == ["code/m.py"]
    repository.write("code/m.py", "")
    (repository.folder / "code/__init__.py").write_bytes(b"Y = 2\n")
    repository.commit()
    stub.build(config)
    repository.write("code/__init__.py", b"")
    repository.write("code/n.py", "Z = 3\n")
    repository.commit()
    stub.build(config)  # an emptied mark of a package is gone; a file that is empty now is suspect, and stays
    assert sorted(documents(config)) == ["code/m.py", "code/n.py"]


def test_two_files_of_one_content_are_two_documents(
    repository: Repository, tmp_path: Path, read: list[str]
) -> None:
    first = repository.commit(author="Ada", a="apples")
    second = repository.commit(author="Bo", b="apples")
    config = source_config(tmp_path, git="notes")
    assert stub.build(config).added == 2
    commits = {name: hit.metadata["commit"] for name, hit in documents(config).items()}
    assert commits == {"a.md": first, "b.md": second}
    read.clear()
    assert (stub.build(config).unchanged, read) == (2, [])


def test_a_rejected_file_keeps_its_last_version(repository: Repository, tmp_path: Path) -> None:
    repository.commit(a="apples", b="pears")
    config = source_config(tmp_path, git="notes")
    stub.build(config)
    repository.write("a.md", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 9\n")
    repository.commit()
    report = stub.build(config)
    assert (len(report.rejections), report.deleted, report.documents) == (1, 0, 2)
    assert documents(config)["a.md"].text == "apples"


@pytest.mark.parametrize("damage", ["record", "content", "touched", "gone", "all"])
def test_a_mirror_that_somebody_touched_is_mended(
    repository: Repository, tmp_path: Path, read: list[str], damage: str
) -> None:
    repository.commit(a="apples", b="pears")
    config = source_config(tmp_path, git="notes")
    stub.build(config)
    before = documents(config)
    files = sorted(path for path in mirror(config).rglob("*.md"))
    if damage == "record":
        (mirror(config) / "kept.json").write_bytes(b"1 00\n{}")
    elif damage == "content":
        files[0].write_text("x" * files[0].stat().st_size)
    elif damage == "touched":
        os.utime(files[0])
    elif damage == "gone":
        files[0].unlink()
    else:
        for path in mirror(config).rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
    report = stub.build(config)
    assert (report.published, report.unchanged) == (False, 2)
    assert documents(config) == before
    read.clear()
    assert (stub.build(config).unchanged, read) == (2, [])


def test_the_guard_holds_for_a_repository_that_was_emptied(repository: Repository, tmp_path: Path) -> None:
    repository.commit(a="apples", b="pears", c="plums")
    config = source_config(tmp_path, git="notes")
    stub.build(config)
    repository.git("rm", "-q", "a.md", "b.md")
    repository.commit()
    with pytest.raises(DeletionGuardError):
        stub.build(config)
    assert len(documents(config)) == 3
    assert stub.build(config, allow_deletes=True).deleted == 2


def test_errors_say_what_to_do(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="git: nowhere: no such folder"):
        stub.build(source_config(tmp_path, git="nowhere"))
    with pytest.raises(SourceError, match="git: notes: has no commits yet"):
        stub.build(source_config(tmp_path, git="notes"))
    repository.commit(a="apples")
    with pytest.raises(SourceError, match="has no branch, tag or commit 'v2'"):
        stub.build(source_config(tmp_path, git="notes", ref="v2"))
    with pytest.raises(SourceError, match=r"no file of HEAD matches \*\*/\*.rst"):
        stub.build(source_config(tmp_path, git="notes", include=["**/*.rst"]))
    with pytest.raises(SourceError, match="names no branch, tag or commit"):
        stub.build(source_config(tmp_path, git="notes", ref="--output=x"))
    with pytest.raises(SourceError, match="holds no name or password") as raised:
        stub.build(source_config(tmp_path, git="https://me:secret@host.invalid/x"))
    assert "secret" not in str(raised.value)


def test_a_dry_run_loads_and_walks_only_what_is_new(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = repository.commit(a="apples", b="pears")
    config = source_config(tmp_path, git="notes")
    stub.build(config)
    second = repository.commit(b="plums")
    loaded: list[str] = []
    walked: list[tuple[str, ...]] = []
    blocks, stream = Blobs.blocks, Git.stream
    monkeypatch.setattr(Blobs, "blocks", lambda self, blob: (loaded.append(blob), blocks(self, blob))[1])
    monkeypatch.setattr(
        Git, "stream", lambda self, *arguments: (walked.append(arguments), stream(self, *arguments))[1]
    )
    plan = stub.plan(config)
    assert (plan.changes.changed, plan.changes.unchanged) == (1, 1)
    assert set(loaded) == {repository.git("rev-parse", "HEAD:b.md")}
    assert [one[-3:-1] for one in walked if one[0] == "log"] == [(f"^{first}", second)]
