"""The sentence-transformers library's own `encode`: any architecture it knows, dense or sparse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import EncoderError, MissingDependencyError
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.models.files.instructions import Instructions
from pipeline.models.files.layout import max_positions
from pipeline.models.files.locate import LocalModel
from pipeline.models.files.tokenizer import lacks_vocabulary
from pipeline.models.runtime.batching import out_of_memory, plan, windows
from pipeline.models.runtime.gather import unit_rows
from pipeline.models.runtime.quiet import quiet_libraries, reason
from pipeline.models.runtime.torch import THREADS, default_precision, dtype_of, usable_device
from pipeline.records import Encoded, Fingerprint, SparseRows

_CHARACTERS_PER_TOKEN = 3


@dataclass(slots=True)
class Library:
    """A model loaded by `class_name` of sentence_transformers when it is first needed.

    `precision`: `f32`, `bf16` or `f16`, whatever it was saved in; by default that of `torch_runtime.dtype_of`.
    """

    class_name: str
    model: LocalModel
    device: str
    max_tokens: int | None
    trust_remote_code: bool
    batch_tokens: int
    precision: str | None = None
    loaded: Any = None

    @property
    def runtime(self) -> Runtime:
        """The library, and what it computes in."""
        return Runtime("sentence-transformers", self.device, self.precision or default_precision(self.device))

    def open(self) -> Any:
        """The library's model. Raises `EncoderError`, `MissingDependencyError`."""
        THREADS.needed()
        if self.loaded is None:
            try:
                import sentence_transformers
            except ImportError as error:
                raise MissingDependencyError(f"this model needs sentence-transformers ({error})") from error
            folder, device = self.model.folder, usable_device(self.device)
            try:
                with quiet_libraries():
                    loaded = getattr(sentence_transformers, self.class_name)(
                        str(folder), device=self.device, trust_remote_code=self.trust_remote_code
                    ).to(dtype_of(device, self.precision))
            except Exception as error:  # whatever the library's own libraries and a model's own code raise
                raise EncoderError(
                    f"{folder}: sentence-transformers cannot load this model: {reason(error)}"
                ) from error
            if lacks_vocabulary(getattr(loaded, "tokenizer", None)):
                raise EncoderError(f"{folder}: has no vocabulary for its tokenizer; fetch the model again")
            self._limit(loaded)
            self.loaded = loaded
        return self.loaded

    def _limit(self, loaded: Any) -> None:
        """Cut texts where the settings say, and never after the last position that the model knows."""
        own = loaded.max_seq_length
        limits = [limit for limit in (self.max_tokens or own, max_positions(self.model)) if limit]
        if limits and min(limits) != own:
            loaded.max_seq_length = min(limits)

    def batches(self, texts: Sequence[str], encode: Callable[[list[str]], Any]) -> list[tuple[Any, Any]]:
        """(positions, result) of batches of similar length; out of memory, the budget is halved and kept so."""
        results = []
        for start, stop in windows(texts):
            sizes = [1 + len(text) // _CHARACTERS_PER_TOKEN for text in texts[start:stop]]
            waiting = plan(sizes, self.batch_tokens)
            while waiting:
                rows = waiting.pop(0)
                try:
                    results.append((rows + start, encode([texts[start + i] for i in rows])))
                except (RuntimeError, MemoryError) as error:
                    if len(rows) == 1 or not out_of_memory(error):
                        raise EncoderError(f"encoding failed on a batch of {len(rows)} texts: {error}") from error
                    self.batch_tokens = max(1, self.batch_tokens // 2)
                    left = np.concatenate([rows, *waiting])
                    waiting = [left[part] for part in plan([sizes[i] for i in left], self.batch_tokens)]
        return results


class SentenceTransformersEncoder:
    """Dense vectors of any sentence-transformers model: float32, cut to `truncate_dim`, L2-normalised."""

    lexical_fingerprint: Fingerprint | None = None
    lexical_scoring = LexicalScoring("dot")
    gives_multivectors = False

    def __init__(
        self, library: Library, fingerprint: Fingerprint, instructions: Instructions, truncate_dim: int | None
    ) -> None:
        self._library, self._instructions, self._truncate_dim = library, instructions, truncate_dim
        self.dense_fingerprint: Fingerprint | None = fingerprint
        self.runtime = library.runtime

    @property
    def dimension(self) -> int | None:
        """Columns of the dense matrix; loads the model unless `truncate_dim` is set."""
        if self._truncate_dim:
            return self._truncate_dim
        model = self._library.open()
        find = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
        return int(find())

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages."""
        return self._encode(texts, self._instructions.document)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries."""
        return self._encode(texts, self._instructions.query)

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """Nothing: there is no lexical side."""
        return {}

    def _encode(self, texts: Sequence[str], instruction: str) -> Encoded:
        model = self._library.open()

        def encode(part: list[str]) -> Any:
            return model.encode(part, prompt=instruction or "", batch_size=len(part), show_progress_bar=False)

        parts = self._library.batches(texts, encode)
        columns = int(np.shape(parts[0][1])[1]) if parts else self.dimension or 0
        if self._truncate_dim and self._truncate_dim > columns:
            raise EncoderError(f"encoder.truncate_dim={self._truncate_dim}: this model has {columns} dimensions")
        dense = np.empty((len(texts), self._truncate_dim or columns), np.float32)
        for rows, vectors in parts:
            dense[rows] = np.asarray(vectors, np.float32)[:, : self._truncate_dim]
        return Encoded(dense=unit_rows(dense))


class SparseModelEncoder:
    """Learned lexical weights of a `SparseEncoder` (SPLADE and kin): vocabulary id → weight, dot product."""

    dense_fingerprint: Fingerprint | None = None
    dimension: int | None = None
    lexical_scoring = LexicalScoring("dot")
    gives_multivectors = False

    def __init__(self, library: Library) -> None:
        self._library, self.runtime = library, library.runtime
        self.lexical_fingerprint: Fingerprint | None = Fingerprint.of(
            kind="sparse-encoder",
            model=library.model.name,
            revision=library.model.revision,
            max_tokens=library.max_tokens or "trained",
            precision="float",
        )

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages (`encode_document` of the library, with its saved prompts)."""
        return self._encode(texts, self._library.open().encode_document)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries (`encode_query` of the library: inference-free models have another path for them)."""
        return self._encode(texts, self._library.open().encode_query)

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """`{vocabulary id: token}` of the tokens the model expands `text` to."""
        (found,) = self.describe_queries([text])
        return found

    def describe_queries(self, texts: Sequence[str], rows: SparseRows | None = None) -> list[Mapping[int, str]]:
        """The tokens of several queries; encodes nothing where `rows` are known."""
        known = self.encode_queries(texts).lexical if rows is None else rows
        assert known is not None
        tokens = self._library.open().tokenizer.convert_ids_to_tokens(known.token_ids.astype(int).tolist())
        names = dict(zip(known.token_ids.tolist(), tokens, strict=True))
        return [{i: names[i] for i in known.row(row)[0].tolist()} for row in range(len(known))]

    def _encode(self, texts: Sequence[str], library_encode: Callable[..., Any]) -> Encoded:
        def encode(part: list[str]) -> SparseRows:
            found = library_encode(
                part,
                batch_size=len(part),
                show_progress_bar=False,
                convert_to_tensor=True,
                convert_to_sparse_tensor=True,
            )
            return _rows(found, len(part))

        parts = self._library.batches(texts, encode)
        stacked = SparseRows.concatenate([rows for _, rows in parts])
        positions = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in parts)])
        return Encoded(lexical=_reordered(stacked, positions))


def _rows(tensor: Any, count: int) -> SparseRows:
    found = tensor.coalesce().cpu()
    rows, ids = found.indices().numpy()
    weights = found.values().float().numpy()
    kept = weights > 0
    indptr = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(rows[kept], minlength=count), out=indptr[1:])
    return SparseRows(indptr, ids[kept].astype(np.uint64), weights[kept])


def _reordered(stacked: SparseRows, positions: Any) -> SparseRows:
    """Row i of `stacked` becomes row `positions[i]`."""
    lengths = np.diff(stacked.indptr)
    order = np.argsort(positions, kind="stable")
    indptr = np.zeros(len(positions) + 1, np.int64)
    np.cumsum(lengths[order], out=indptr[1:])
    source = np.repeat(stacked.indptr[:-1][order] - indptr[:-1], lengths[order]) + np.arange(indptr[-1])
    return SparseRows(indptr, stacked.token_ids[source], stacked.weights[source])
