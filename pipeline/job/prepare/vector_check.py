"""Are given vectors those of the query encoder? Some texts are encoded again, and compared with what was given."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import names
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.index import staging
from pipeline.index.chunks import encoded_texts
from pipeline.index.given.staged import read_given
from pipeline.index.multivector.search import late_interaction
from pipeline.index.staging import StagedIngest
from pipeline.models.precomputed import PrecomputedEncoder
from pipeline.records import Encoded, Float32

log = logging.getLogger(__name__)

_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class _Compared:
    """How alike what was given of a text and what is made of it are in one leg: at most 1."""

    leg: str
    likeness: float
    text: str


def check_given(config: Config, encoder: PrecomputedEncoder, staged: StagedIngest) -> None:
    """Encode `encode.check_texts` of the staged texts again, always the same ones of the same texts.

    Raises `ConfigError` if one is less like what was given than `encode.check_cosine`; nothing is written by then.
    """
    count, least = config.encode.check_texts, config.encode.check_cosine
    if not count or not staged.given:
        return
    compared = [
        one for path, rows in _sample(config.index_path, staged, count) for one in _compare(encoder, path, rows)
    ]
    if not compared:
        return
    worst = min(compared, key=lambda one: one.likeness)
    if not worst.likeness >= least:
        wrong = sum(not one.likeness >= least for one in compared)
        model = config.encoder.query_model or config.encoder.lexical
        raise ConfigError(
            f"encoder.query_model: the given vectors are not those of {model}: {wrong} of {len(compared)} "
            f"comparisons fall short of {least:g}, the {worst.leg} one of {worst.text!r} has {worst.likeness:.3f}; "
            "name the model that made them, with its instructions and max_tokens; give chunk_context if a context "
            "was encoded before the texts; or lower encode.check_cosine, or set encode.check_texts: 0 to go on so"
        )
    log.info("given vectors are those of the query encoder: at least %.4f in %d texts", worst.likeness, count)


def _sample(index: Path, staged: StagedIngest, count: int) -> Iterator[tuple[Path, list[int]]]:
    """The parts and rows of the texts with the smallest hashes: which they are depends on no order."""
    paths = [staging.ingest_folder(index) / part.name for part in staged.parts]
    found = sorted(
        (bytes(hashed), number, row) for number, path in enumerate(paths) for row, hashed in _smallest(path, count)
    )[:count]
    for number, path in enumerate(paths):
        rows = sorted(row for _, part, row in found if part == number)
        if rows:
            yield path, rows


def _smallest(path: Path, count: int) -> list[tuple[int, bytes]]:
    hashes = staging.text_hashes(path)
    order = np.argsort(hashes, kind="stable")[:count]
    return [(int(row), bytes(hashes[row])) for row in order]


def _compare(encoder: PrecomputedEncoder, path: Path, rows: list[int]) -> Iterator[_Compared]:
    every = encoded_texts(path)
    texts = [every[row] for row in rows]
    given, made = read_given(path, encoder.wanted, rows), encoder.encode_documents(texts)
    for i, text in enumerate(texts):
        shown = " ".join(text.split())
        shown = shown if len(shown) <= _SHOWN_CHARS else shown[: _SHOWN_CHARS - 1] + "…"
        for leg, likeness in _likenesses(given, made, i):
            yield _Compared(leg, likeness, shown)


def _likenesses(given: Encoded, made: Encoded, i: int) -> Iterator[tuple[str, float]]:
    if given.dense is not None and made.dense is not None:
        yield names.DENSE, _cosine(given.dense[i], made.dense[i])
    if given.lexical is not None and made.lexical is not None:
        ids, weights = given.lexical.row(i)
        own_ids, own = made.lexical.row(i)
        _, here, there = np.intersect1d(ids, own_ids, return_indices=True)
        lengths = float(np.linalg.norm(weights.astype(np.float64)) * np.linalg.norm(own.astype(np.float64)))
        shared = float(weights[here].astype(np.float64) @ own[there].astype(np.float64))
        yield names.LEXICAL, shared / lengths if lengths else float(len(weights) == len(own))
    if given.multivectors is not None and made.multivectors is not None:
        part = slice(i, i + 1)
        own_tokens = made.multivectors.rows(part).vectors
        yield names.MULTIVECTOR, float(late_interaction(own_tokens, given.multivectors.rows(part))[0])


def _cosine(one: Float32, other: Float32) -> float:
    left, right = one.astype(np.float64), other.astype(np.float64)
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))
