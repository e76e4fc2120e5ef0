"""Tokenizers of model folders, in the cache of converted models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.models.files import cache
from pipeline.models.files.tokenizer import TOKENIZER_FILE, TextTokenizer
from pipeline.models.tokens.compact import CompactTokenizer, open_tokenizer
from pipeline.models.tokens.conversion import convert

_FORM_VERSION = 1
StoredTokenizer = TextTokenizer | CompactTokenizer


def stored_tokenizer(name: str, source: Callable[[], Path]) -> StoredTokenizer:
    """The tokenizer of a tokenizer.json, which is converted when it is first used on a machine.

    `name`: stands for its contents. `source`: where it is, if it is needed as a whole. Raises `EncoderError`.
    """

    artifact = _artifact(name, source)
    return cache.loaded(artifact, lambda folder: open_tokenizer(folder, source), checksums=True)


def stored_files(name: str, source: Callable[[], Path]) -> dict[str, Path]:
    """The files of a stored tokenizer, the whole one among them, by the names that `open_tokenizer` knows.

    Raises `EncoderError`.
    """
    folder = _artifact(name, source)(checksums=True, rebuild=False)
    return {TOKENIZER_FILE: source(), **{file: folder / file for file in cache.file_names(folder)}}


def _artifact(name: str, source: Callable[[], Path]) -> cache.Artifact:
    def artifact(*, checksums: bool, rebuild: bool) -> Path:
        return cache.artifact(
            f"tokens-{name}-v{_FORM_VERSION}",
            lambda folder: convert(source(), folder),
            checksums=checksums,
            rebuild=rebuild,
        )

    return artifact
