"""Which files are read: the same ones, in the same order, each once, whatever links and junk lie around."""

from __future__ import annotations

import os
import socket
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import parse_config
from pipeline.errors import ConfigError, SourceError
from pipeline.ingest.sources import SourceFile, compile_glob, discover
from pipeline.ingest.suffixes import entry_suffix


def found(base: Path, *sources: dict[str, Any]) -> list[SourceFile]:
    return list(discover(parse_config({"sources": list(sources)}, base=base)))


def names(base: Path, *sources: dict[str, Any]) -> list[str]:
    return [file.name for file in found(base, *sources)]


def plant(base: Path, *paths: str) -> None:
    for path in paths:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text("text")


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.md", ["a.md", "한글.md"], ["a.txt", "sub/a.md", "a.md.bak"]),
        ("**/*.md", ["a.md", "sub/a.md", "x/y/z/a.md"], ["a.txt", "amd"]),
        ("docs/**", ["docs/a", "docs/b/c.md"], ["docs", "a/docs/b"]),
        ("**/drafts/*", ["drafts/a", "x/drafts/a"], ["drafts/a/b", "mydrafts/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
        ("page-?.txt", ["page-1.txt"], ["page-10.txt", "page-/.txt"]),
        ("[ab]*.txt", ["a.txt", "bc.txt"], ["c.txt"]),
        ("[!ab].txt", ["c.txt"], ["a.txt", "/.txt"]),
        ("we[rd.md", ["we[rd.md"], ["werd.md"]),
        ("./a+b(1).md", ["a+b(1).md"], ["aab(1).md"]),
    ],
)
def test_globs(pattern: str, matching: list[str], other: list[str]) -> None:
    regex = compile_glob(pattern)
    assert [name for name in matching if not regex.match(name)] == []
    assert [name for name in other if regex.match(name)] == []


def test_by_default_every_file_with_a_reader_is_taken_in_sorted_order(tmp_path: Path) -> None:
    plant(tmp_path, "s/b.md", "s/a/z.TXT", "s/a/p.pdf", "s/logo.png", "s/.hidden.md", "s/.git/x.md", "s/c.jsonl")
    assert names(tmp_path, {"path": "s"}) == ["a/p.pdf", "a/z.TXT", "b.md", "c.jsonl"]


def test_ignored_files_are_counted_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plant(tmp_path, "s/a.md", "s/1.png", "s/2.png", "s/Makefile")
    with caplog.at_level("INFO"):
        names(tmp_path, {"path": "s"})
    assert "3 files ignored, 2 .png, 1 no suffix" in caplog.text


def test_an_empty_file_that_marks_a_package_is_no_document(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant(tmp_path, "s/p/m.py", "s/p/empty.py", "s/p/q/__init__.py")
    (tmp_path / "s/p/__init__.py").touch()
    (tmp_path / "s/p/empty.py").write_bytes(b"")
    with caplog.at_level("INFO"):
        assert names(tmp_path, {"path": "s"}) == ["p/empty.py", "p/m.py", "p/q/__init__.py"]
    assert "1 files ignored, 1 empty __init__.py" in caplog.text
    assert names(tmp_path, {"path": "s", "include": ["**/*.py"]}) == ["p/empty.py", "p/m.py", "p/q/__init__.py"]


def test_include_and_exclude(tmp_path: Path) -> None:
    plant(tmp_path, "s/a.md", "s/b.xyz", "s/drafts/c.md", "s/deep/drafts/d.md", "s/deep/e.md")
    assert names(tmp_path, {"path": "s", "include": ["**/*"], "exclude": ["drafts"]}) == [
        "a.md",
        "b.xyz",
        "deep/drafts/d.md",
        "deep/e.md",
    ]
    assert names(tmp_path, {"path": "s", "exclude": ["**/drafts/**"]}) == ["a.md", "deep/e.md"]


def test_names_and_labels_do_not_depend_on_where_the_pipeline_runs(tmp_path: Path) -> None:
    plant(tmp_path, "s/sub/a.md", "one.md")
    folder, single = found(tmp_path, {"path": "s", "prefix": "kb/"}, {"path": "./one.md"})
    assert (folder.name, folder.label) == ("kb/sub/a.md", "s/sub/a.md")
    assert (single.name, single.label) == ("one.md", "one.md")


def test_a_real_file_is_taken_once_however_often_it_is_linked(tmp_path: Path) -> None:
    plant(tmp_path, "s/a.md", "s/sub/b.md", "outside/c.md")
    (tmp_path / "s/loop").symlink_to(tmp_path / "s")
    (tmp_path / "s/sub/up").symlink_to("..")
    (tmp_path / "s/again.md").symlink_to("a.md")
    (tmp_path / "s/z-out").symlink_to(tmp_path / "outside")
    os.link(tmp_path / "s/a.md", tmp_path / "s/hard.md")
    assert names(tmp_path, {"path": "s"}) == ["a.md", "sub/b.md", "z-out/c.md"]
    assert names(tmp_path, {"path": "s"}, {"path": "s/sub"}) == ["a.md", "sub/b.md", "z-out/c.md"]


def test_what_cannot_be_opened_is_named_and_not_dropped(tmp_path: Path) -> None:
    plant(tmp_path, "s/good.md")
    (tmp_path / "s/dangling.md").symlink_to("nowhere.md")
    (tmp_path / "s/self.md").symlink_to("self.md")
    os.mkfifo(tmp_path / "s/pipe.md")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s/socket.md"))
        problems = {file.name: file.problem for file in found(tmp_path, {"path": "s"})}
    assert problems["good.md"] is None
    assert "dangling link" in str(problems["dangling.md"])
    assert "symbolic links" in str(problems["self.md"])
    assert "a pipe" in str(problems["pipe.md"])
    assert "a pipe, socket" in str(problems["socket.md"])


def test_a_name_that_is_no_utf8_is_reported(tmp_path: Path) -> None:
    plant(tmp_path, "s/a.md")
    try:
        Path(os.fsdecode(bytes(tmp_path / "s") + b"/b\xff.md")).write_text("text")
    except OSError:
        pytest.skip("this file system refuses such names")
    bad = found(tmp_path, {"path": "s"})[1]
    assert bad.label == "s/b\ufffd.md"
    assert bad.problem == "the file's name is not valid UTF-8; rename it"


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, "s/a.md", "s/locked/b.md")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    good, locked = found(tmp_path, {"path": "s"})
    assert good.name == "a.md"
    assert locked.label == "s/locked"
    assert locked.problem == "folder cannot be listed: Permission denied; check its permissions"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"path": "gone"}, r"gone: no such file or folder; correct `path`"),
        ({"path": "s", "exclude": ["[z-a].md"]}, r"the pattern '\[z-a\]\.md' is no glob: bad character range"),
        ({"path": "empty"}, r"empty: the folder is empty; put documents there, or correct `path`"),
        ({"path": "images"}, r"images: no file matches .* \(ignored: 2 \.png\)"),
        ({"path": "s", "include": ["*.csv"]}, r"s: no file matches \*\.csv .*`\*\*/\*\.md` its subfolders too"),
    ],
)
def test_a_source_that_yields_nothing_is_an_error_before_anything_is_read(
    tmp_path: Path, source: dict[str, Any], message: str
) -> None:
    plant(tmp_path, "s/a.md", "s/sub/b.csv", "images/1.png", "images/2.png")
    (tmp_path / "empty").mkdir()
    files = discover(parse_config({"sources": [{"path": "s"}, source]}, base=tmp_path))
    with pytest.raises(SourceError, match=message):
        next(files)


def test_no_sources_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no sources are configured"):
        found(tmp_path)


@given(st.text("aB./é", max_size=8))
def test_the_suffix_is_that_of_the_last_name(name: str) -> None:
    if not name.endswith(("/", "/.", ".")):
        assert entry_suffix(name) == PurePosixPath(name).suffix.lower()


@pytest.mark.parametrize("folder", [".", "docs", "docs/", "./docs//sub", "../up"])
def test_a_label_is_the_path_as_configured(tmp_path: Path, folder: str) -> None:
    base = tmp_path / "base"
    base.mkdir()
    plant(base, f"{folder}/x/a.md")
    file = found(base, {"path": folder, "prefix": "p:"})[0]
    assert (file.label, file.name) == ((PurePosixPath(folder) / "x/a.md").as_posix(), "p:x/a.md")
    assert file.status is not None
    assert os.path.samestat(file.status, file.path.stat())
