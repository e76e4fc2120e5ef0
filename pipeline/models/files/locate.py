"""From a model's name to a folder on this machine and the revision that names its contents.

A hub model is known by its commit. A local folder is known by a hash of its files, so moving or renaming it
changes nothing; the hash is remembered per file under (path, size, times, inode), since reading 2 GB at every start
is slow.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from pipeline.arguments import file_path
from pipeline.config.encoder import DENSE_WORDS
from pipeline.errors import ConfigError, EncoderError, MissingDependencyError
from pipeline.models.files import cache

_SKIPPED_FOLDERS = {"onnx", "openvino", "imgs", "assets"}
_HASHED_SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin", ".pt", ".py", ".vocab", ".bpe"}
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_IGNORED_DOWNLOADS = [
    "onnx/*",
    "openvino/*",
    "*.onnx*",
    "flax_model*",
    "tf_model*",
    "rust_model*",
    "imgs/*",
    "*.msgpack",
]


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's files. `name`: hub id, or `folder` for a local one. `revision`: commit, or hash of the contents."""

    name: str
    folder: Path
    revision: str

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the model, empty if there is none. Raises `EncoderError` if it cannot be parsed."""
        path = self.folder / name
        try:
            found = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise EncoderError(f"{path}: cannot be read: {error}; fetch the model again") from error
        return found if isinstance(found, dict) else {"list": found}

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be known by, best first: hub id, folder of a hub's cache, folder, what it came from."""
        folder = self.folder.absolute()
        cached = [
            part.removeprefix("models--").replace("--", "/")
            for part in reversed(folder.parts)
            if part.startswith("models--")
        ]
        hub_id = [] if self.name == "folder" else [self.name]
        origin = str(self.json("config.json").get("_name_or_path") or "")
        return tuple(dict.fromkeys(name for name in (*hub_id, *cached, folder.name, origin) if name))

    @property
    def slug(self) -> str:
        """A file name for what is derived from these files."""
        revision = self.revision.rpartition(":")[2][:16]
        return f"{self.folder.name if self.name == 'folder' else self.name.replace('/', '--')}-{revision}"


def locate(
    model: str,
    revision: str | None = None,
    base: Path = Path(),
    needs: tuple[str, ...] = (),
    key: str = "encoder.model",
    words: tuple[str, ...] = DENSE_WORDS,
) -> LocalModel:
    """The files of a hub id or of a folder (relative to `base`).

    `key` of config.yaml names it in errors. `words`: what may stand there besides.

    A hub model of which this machine lacks the weights or one of the files `needs` is downloaded.

    Raises `ConfigError` if there is no such folder, `EncoderError` if the download fails.
    """
    path = _named_folder(model, base, key)
    if path.is_dir():
        if revision:
            raise ConfigError(
                f"{key.rpartition('.')[0]}.revision is for hub models, and {path} is a folder; remove it"
            )
        if not any((path / name).exists() for name in ("config.json", "modules.json")):
            raise ConfigError(f"{path}: is no model folder: there is no config.json in it")
        return LocalModel("folder", path, f"xxh3:{_folder_hash(path.resolve())}")
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        close = difflib.get_close_matches(model, words, n=1)
        hint = f"; did you mean `{close[0]}`?" if close else f"; besides: {', '.join(words)}"
        raise ConfigError(
            f"{key}={model!r}: there is no folder {path}, and it is not a hub id like BAAI/bge-m3{hint}"
        )
    folder = _cached_snapshot(model, revision or "main")
    if folder is None or _missing(folder, needs):
        folder = _download(model, revision, key)
        if lacking := _missing(folder, needs):
            raise EncoderError(
                f"{key}={model!r} is not whole on this machine: {folder} lacks {', '.join(lacking)}, "
                "and it could not be downloaded; check the name and the network, or give a folder"
            )
    return LocalModel(model, folder, folder.name)


def is_present(model: str, revision: str | None, base: Path, needs: tuple[str, ...] = ()) -> bool:
    """Whether `locate` would download nothing: a folder, a whole hub model, or a name that it refuses."""
    if _named_folder(model, base, "model").is_dir() or model.startswith((".", "/", "~")) or model.count("/") != 1:
        return True
    folder = _cached_snapshot(model, revision or "main")
    return folder is not None and not _missing(folder, needs)


def _named_folder(model: str, base: Path, key: str) -> Path:
    """The folder that `model` names if it is no hub id. Raises `ConfigError` for what can be no folder's name."""
    path = file_path(key, model)
    with contextlib.suppress(RuntimeError):  # the home of somebody whom this machine does not know
        path = path.expanduser()
    return base / path


def _cached_snapshot(model: str, revision: str) -> Path | None:
    # huggingface_hub's cache, read without importing it: a query then starts without asking the network.
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME', '~/.cache')}/huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser()
    repository = hub / f"models--{model.replace('/', '--')}"
    reference = repository / "refs" / revision
    commit = reference.read_text("utf-8").strip() if reference.is_file() else revision
    folder = repository / "snapshots" / commit
    return folder if folder.is_dir() else None


def _missing(folder: Path, needs: tuple[str, ...]) -> list[str]:
    missing = [name for name in ("config.json", *needs) if not (folder / name).exists()]
    if not any(next(folder.glob(pattern), None) for pattern in _WEIGHTS):
        missing.append("model.safetensors")
    return missing


def _download(model: str, revision: str | None, key: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            "downloading a model needs huggingface_hub; pip install huggingface_hub"
        ) from error
    try:
        return Path(snapshot_download(model, revision=revision, ignore_patterns=_IGNORED_DOWNLOADS))
    except Exception as error:  # huggingface_hub raises errors of several libraries
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise EncoderError(
            f"{key}={model!r} is not on this machine and cannot be downloaded: {reason}; "
            "check the name and the network, or give a folder"
        ) from error


def _folder_hash(folder: Path) -> str:
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix in _HASHED_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") or part in _SKIPPED_FOLDERS for part in path.relative_to(folder).parts)
    ]
    memo_path = cache.cache_root() / "hashes" / f"{xxhash.xxh3_64_hexdigest(str(folder).encode())}.json"
    blob = cache.read_blob(memo_path)
    known: dict[str, list[Any]] = json.loads(blob) if blob else {}
    memo: dict[str, list[Any]] = {}
    for path in paths:
        name, stat = path.relative_to(folder).as_posix(), path.stat()
        identity = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        entry = known.get(name)
        memo[name] = entry if entry and entry[:4] == identity else [*identity, cache.file_checksum(path)]
    if memo != known:
        cache.write_blob(memo_path, json.dumps(memo).encode())
    contents = json.dumps([(name, entry[4]) for name, entry in memo.items()])
    return xxhash.xxh3_128_hexdigest(contents.encode())
