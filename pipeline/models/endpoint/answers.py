"""What a server answered, checked and turned into rows. Nothing here speaks HTTP."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.models.endpoint.settings import EndpointProtocol
from pipeline.records import Float32

SparseRow = dict[int, float]

LARGEST = float(np.finfo(np.float32).max)


class AnswerError(Exception):
    """An unusable answer: the problem, and the row it stands in, if it is one row's."""

    def __init__(self, problem: str, row: int | None = None) -> None:
        super().__init__(problem)
        self.problem, self.row = problem, row


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server tells about itself; `None` where it does not."""

    model: str | None = None
    revision: str | None = None
    pooling: str | None = None
    max_tokens: int | None = None
    batch_texts: int | None = None
    batch_tokens: int | None = None

    @classmethod
    def of(cls, answer: object) -> ServerInfo:
        """From a text-embeddings-inference server's `/info`. Fields of an unknown shape count as untold."""
        if not isinstance(answer, dict):
            return cls()
        kind = answer.get("model_type")
        embedding = kind.get("embedding") if isinstance(kind, dict) else None
        pooling = embedding.get("pooling") if isinstance(embedding, dict) else None
        return cls(
            model=_text(answer.get("model_id")),
            revision=_text(answer.get("model_sha")),
            pooling=_text(pooling),
            max_tokens=_positive(answer.get("max_input_length")),
            batch_texts=_positive(answer.get("max_client_batch_size")),
            batch_tokens=_positive(answer.get("max_batch_tokens")),
        )


def dense_matrix(protocol: EndpointProtocol, answer: object, count: int) -> npt.NDArray[np.float64]:
    """The answer's vectors in the order of the texts: float64 (count, d), finite, not normalised."""
    rows = _in_order(answer, count) if protocol == "openai" else answer
    if not isinstance(rows, list):
        raise AnswerError(f"expected a list of vectors, got {_kind(rows)}")
    if len(rows) != count:
        raise AnswerError(f"{len(rows)} vectors for {count} texts")
    for i, row in enumerate(rows):
        if not isinstance(row, list) or not row:
            raise AnswerError(f"expected a vector, got {_kind(row)}", i)
        if isinstance(row[0], list):
            raise AnswerError(
                "a vector for each token instead of one for the text, and how this model pools them is not known; "
                "serve it with text-embeddings-inference, or run it locally"
            )
        if len(row) != len(rows[0]):
            raise AnswerError(f"vectors of {len(rows[0])} and of {len(row)} columns in one answer", i)
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        matrix = None
    if matrix is None or matrix.ndim != 2:
        raise AnswerError("vectors that hold something other than numbers")
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        raise AnswerError("a vector with NaN, null or infinite values", int(bad.argmax()))
    return matrix


def unit_rows(matrix: npt.NDArray[np.float64], truncate_dim: int | None) -> Float32:
    """The first `truncate_dim` columns, rows L2-normalised. Refuses a row that is all zero."""
    if truncate_dim is not None:
        if truncate_dim > matrix.shape[1]:
            raise AnswerError(f"{matrix.shape[1]} columns, fewer than encoder.truncate_dim={truncate_dim}")
        matrix = matrix[:, :truncate_dim]
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    if not largest.all():
        raise AnswerError("a vector of zeros", int((largest == 0).argmax()))
    scaled = matrix / largest  # so that squares neither overflow nor vanish
    unit: Float32 = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)
    return unit


def sparse_rows(answer: object, count: int) -> list[SparseRow]:
    """Token id → weight for each text, from `/embed_sparse`; weights that are not above zero are dropped."""
    if not isinstance(answer, list):
        raise AnswerError(f"expected a list of sparse vectors, got {_kind(answer)}")
    if len(answer) != count:
        raise AnswerError(f"{len(answer)} sparse vectors for {count} texts")
    return [_sparse_row(row, i) for i, row in enumerate(answer)]


def rerank_scores(answer: object, count: int) -> list[float]:
    """One finite score a text, in the order of the texts, from `/rerank`, which sorts them by score."""
    if not isinstance(answer, list):
        raise AnswerError(f"expected a list of scores, got {_kind(answer)}")
    if len(answer) != count:
        raise AnswerError(f"{len(answer)} scores for {count} texts")
    scores: dict[int, float] = {}
    for entry in answer:
        index, score = (entry.get("index"), entry.get("score")) if isinstance(entry, dict) else (None, None)
        if type(index) is not int or not 0 <= index < count or index in scores:
            raise AnswerError("scores whose `index` values do not number the texts, so the order is not known")
        if isinstance(score, bool) or not isinstance(score, int | float) or not abs(score) <= LARGEST:
            raise AnswerError("a score that is not a finite number", index)
        scores[index] = float(score)
    return [scores[i] for i in range(count)]


def _sparse_row(entries: object, i: int) -> SparseRow:
    if not isinstance(entries, list):
        raise AnswerError(f"expected a list of index and value pairs, got {_kind(entries)}", i)
    row: SparseRow = {}
    for entry in entries:
        index, value = (entry.get("index"), entry.get("value")) if isinstance(entry, dict) else (None, None)
        if type(index) is not int or not 0 <= index < 2**63:
            raise AnswerError("a sparse vector with an index that is no token id", i)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
            raise AnswerError(f"a sparse vector whose value at index {index} is not a finite number", i)
        if index in row:
            raise AnswerError(f"a sparse vector that holds index {index} twice", i)
        row[index] = value
    return {index: value for index, value in row.items() if np.float32(value) > 0}


def _in_order(answer: object, count: int) -> list[object]:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        raise AnswerError(f"expected an object with a list `data`, got {_kind(answer)}")
    if len(data) != count:
        raise AnswerError(f"{len(data)} vectors for {count} texts")
    rows: dict[int, object] = {}
    for entry in data:
        index = entry.get("index") if isinstance(entry, dict) else None
        if type(index) is not int or not 0 <= index < count or index in rows:
            raise AnswerError("`data` whose `index` values do not number the texts, so the order is not known")
        rows[index] = entry.get("embedding")
    return [rows[i] for i in range(count)]


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    return "an empty list" if value == [] else "a list" if isinstance(value, list) else f"a {type(value).__name__}"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _positive(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
