"""A repository as the configuration names it: one on this machine, or a server's, copied into the index."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import SourceError
from pipeline.index import files
from pipeline.ingest.fetching.git.command import Git, started, without_secrets

log = logging.getLogger(__name__)

HEAD = "HEAD"
_FETCHED = "refs/pipeline/source"
_SCP = re.compile(r"[\w.-]+(?:@[\w.-]+)?:(?!/?/?:).+")
_DAMAGE = re.compile(r"\.lock'|corrupt|bad object|missing object|not a git repository: '|unable to read")
"""What git says of a copy that another run has left half-done, or that somebody has touched."""
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def is_remote(place: str) -> bool:
    """Whether a place is an address, such as `https://…` or `git@host:path`, and no path."""
    return "://" in place or (_SCP.fullmatch(place) is not None and not Path(place).exists())


def check_place(place: str) -> None:
    """Raises `SourceError` for what git would take for an option, a command, or for a password in an address."""
    if place.startswith("-") or "\0" in place or "\n" in place:
        raise SourceError(f"sources: git: {place!r} is neither a path nor an address; correct it")
    if "::" in place.split("/")[0]:
        raise SourceError(
            f"sources: git: {place!r} names a helper of git's; give a path or an address (https, ssh, git, file)"
        )
    if "://" not in place:
        return
    try:
        address = urlsplit(place)
        secret = address.password is not None or (address.scheme in ("http", "https") and address.username)
    except ValueError:
        raise SourceError(f"sources: git: {without_secrets(place)} is no address; correct it") from None
    if address.scheme not in ("http", "https", "ssh", "git", "file"):
        raise SourceError(
            f"sources: git: {without_secrets(place)}: only http, https, ssh, git and file are fetched; correct it"
        )
    if secret:
        raise SourceError(
            f"sources: git: {without_secrets(place)}: an address holds no name or password; git gets them from its "
            "credential helpers (`git help credentials`)"
        )


def check_ref(name: str, ref: str) -> None:
    """Raises `SourceError` for what is no name of a branch, a tag or a commit."""
    if not ref or ref.startswith(("-", "+", ".", "^")) or re.search(r"[\x00-\x20\x7f:?*\[\\]|\.\.|@\{", ref):
        raise SourceError(f"{name}: ref: {ref!r} names no branch, tag or commit; correct `ref`")


def open_local(path: Path, name: str) -> Git:
    """A repository on this machine, bare or with its files. Raises `SourceError`."""
    if not path.is_dir():
        raise SourceError(f"{name}: no such folder; correct `git` under `sources`")
    with started(name, "-C", os.fspath(path), "rev-parse", "--absolute-git-dir") as running:
        found = running.output.read()
        if running.process.wait():
            error = running.failure()
            if "not a git repository" not in str(error):
                raise error
            raise SourceError(
                f"{name}: no git repository; name its top folder under `git`, and folders in it by `include`"
            )
    folder = Path(os.fsdecode(found.rstrip(b"\n")))
    if not _is_of(folder, path):
        raise SourceError(
            f"{name}: a folder inside the repository {folder}; name the top folder under `git`, and this one by "
            "`include`"
        )
    return Git(folder, name)


def _is_of(git_folder: Path, path: Path) -> bool:
    """Whether the files of git that it found from `path` are there, and not in a folder above."""
    return git_folder.resolve() == path.resolve() or (path / ".git").exists()


def fetched(cache: Path, place: str, ref: str, name: str) -> Git:
    """A copy of a server's repository in `cache`, as it is now. Raises `SourceError` if it cannot be had."""
    folder = cache / f"{hashlib.blake2b(place.encode(), digest_size=8).hexdigest()}.git"
    try:
        return _fetched(folder, place, ref, name)
    except SourceError as error:
        if not _DAMAGE.search(str(error)):
            raise
        log.warning("%s: the copy %s cannot be used and is made again (%s)", name, folder, error)
        files.remove_folder(folder)
        return _fetched(folder, place, ref, name)


def _fetched(folder: Path, place: str, ref: str, name: str) -> Git:
    folder.mkdir(parents=True, exist_ok=True)
    with started(name, "init", "--quiet", "--bare", "--template=", os.fspath(folder)) as running:
        running.output.read()
        running.check()
    git = Git(folder, name)
    arguments = ("fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head")
    with git.start(*arguments, "--", place, f"+{ref}:{_FETCHED}") as running:
        running.output.read()
        if running.process.wait():
            raise _unreachable(name, ref, running.failure())
    return git


def _unreachable(name: str, ref: str, error: SourceError) -> SourceError:
    said = str(error)
    if "couldn't find remote ref" in said or "no such remote ref" in said.lower():
        return SourceError(f"{name}: has no branch or tag {ref!r}; correct `ref`")
    if "could not read" in said or "Authentication failed" in said or "Permission denied" in said:
        return SourceError(
            f"{said}; git needs a login that it can find by itself: set up a credential helper or an ssh key "
            "(`git help credentials`)"
        )
    return SourceError(f"{said}; see whether `git ls-remote` reaches it, or correct `git` under `sources`")


def commit_of(git: Git, ref: str, is_fetched: bool = False) -> str:
    """The commit that a ref names. Raises `SourceError`."""
    asked = _FETCHED if is_fetched else ref
    with git.start("rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}") as running:
        found = running.output.read().decode("ascii", "replace").strip()
        if running.process.wait() == 0 and _COMMIT.fullmatch(found):
            return found
    if not git.run("rev-list", "--all", "--max-count=1").strip():
        raise SourceError(f"{git.name}: has no commits yet; commit something, or take the source out")
    raise SourceError(
        f"{git.name}: has no branch, tag or commit {ref!r}; `git branch -a` lists branches: correct `ref`"
    )
