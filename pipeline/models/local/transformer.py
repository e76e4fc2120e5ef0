"""A BERT-family encoder: tokenizer, batching, a runtime and its outputs put together, loaded when first used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pipeline.errors import EncoderError
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.models.files import cache
from pipeline.models.files.instructions import Instructions
from pipeline.models.files.tokenizer import TokenIds
from pipeline.models.runtime.batching import Cut, TokenBatch, padded, same_width, token_batches
from pipeline.models.runtime.embeddings import POSITIONS_FILE, WORDS_FILE
from pipeline.models.runtime.gather import Gather
from pipeline.models.runtime.openvino import (
    MODEL_FILE,
    WEIGHTS_FILE,
    Mode,
    OpenVinoEncoder,
    Outputs,
    usable_precision,
)
from pipeline.names import DENSE
from pipeline.records import Encoded, Fingerprint

BATCH_TOKENS = 2048
"""Padded tokens of a batch: a small model works best while its activations stay in the cache."""

NO_INSTRUCTIONS = Instructions()


class Session(Protocol):
    """A loaded model."""

    def run(self, batches: Iterable[TokenBatch]) -> Iterator[tuple[TokenBatch, Outputs]]:
        """Encode batches in order, drawing the next ones while earlier ones are computed."""


class Tokenizer(Protocol):
    """Turns texts into token ids."""

    def encode(self, texts: Sequence[str]) -> list[TokenIds]:
        """Token ids of each text, cut to the model's limit, special tokens included."""

    def token(self, token_id: int) -> str:
        """The vocabulary's form of a token, or an empty string."""


class Loader(Protocol):
    """Loads a model's parts. Raises `EncoderError`."""

    @property
    def runtime(self) -> Runtime:
        """Where the model will run."""

    def tokenizer(self) -> Tokenizer:
        """The tokenizer, truncation included."""

    def session(self, mode: Mode) -> Session:
        """The model, ready to run."""


TokenizerForm = Literal["stored", "unigram"]
"""How a tokenizer is kept: as `tokens.stored` writes it, or as `e5.unigram` does."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of a converted model by the name that each gets beside the others.

    `multivectors`: whether the model gives them, wanted or not.
    """

    files: Mapping[str, Path]
    tokenizer: TokenizerForm
    multivectors: bool = False


def _cannot_travel() -> Parts:
    raise EncoderError("this encoder's tokenizer cannot be taken elsewhere; export the index that it came with")


@dataclass(frozen=True, slots=True)
class OpenVinoLoader:
    """Loads a converted model; one that turns out damaged is converted again, once.

    `open_tokenizer`: gives the tokenizer, truncation included. `tokenizer_parts`: gives its files.
    """

    artifact: cache.Artifact
    outputs: frozenset[str]
    open_tokenizer: Callable[[], Tokenizer]
    precision: str | None = None
    tokenizer_parts: Callable[[], Parts] = _cannot_travel

    @property
    def runtime(self) -> Runtime:
        """OpenVINO on the CPU."""
        return Runtime("openvino", "cpu", usable_precision(self.precision))

    def tokenizer(self) -> Tokenizer:
        """The tokenizer, as `open_tokenizer` gives it."""
        return self.open_tokenizer()

    def parts(self) -> Parts:
        """The files that the model and its tokenizer consist of, checked. Raises `EncoderError`."""
        folder = self.artifact(checksums=True, rebuild=False)
        tokenizer = self.tokenizer_parts()
        model = {name: folder / name for name in (MODEL_FILE, WEIGHTS_FILE, WORDS_FILE, POSITIONS_FILE)}
        return Parts(model | dict(tokenizer.files), tokenizer.tokenizer, tokenizer.multivectors)

    def session(self, mode: Mode) -> Session:
        """Compiled for throughput (contents of the converted model checked) or latency (sizes checked)."""
        return cache.loaded(
            self.artifact,
            lambda folder: OpenVinoEncoder(folder, mode, self.outputs, self.precision),
            checksums=mode == "throughput",
        )


@dataclass(frozen=True, slots=True)
class TransformerSpec:
    """How a model is used.

    `max_tokens`: where a text is cut, special tokens counted. `dimension`: of the model, before `truncate_dim`.
    `alike_tokens`: how many tokens, padding included, a batch may have in f32 for its texts to get the bits that
    they have alone; none where any number does.
    """

    max_tokens: int
    pad_id: int
    dimension: int
    outputs: frozenset[str] = frozenset({DENSE})
    dropped_ids: tuple[int, ...] = ()
    instructions: Instructions = NO_INSTRUCTIONS
    truncate_dim: int | None = None
    alike_tokens: int | None = None


class TransformerEncoder:
    """Dense vectors, and with the heads for it lexical weights and multi-vectors, from one pass over the texts.

    Dense rows are float32 and L2-normalised, after cutting to `truncate_dim`. Lexical weights are learned, so
    scoring is their dot product. Nothing is loaded before the first encode.
    """

    lexical_scoring = LexicalScoring("dot")

    def __init__(
        self,
        loader: Loader,
        spec: TransformerSpec,
        dense_fingerprint: Fingerprint | None,
        lexical_fingerprint: Fingerprint | None = None,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        self.loader, self.spec, self.batch_tokens = loader, spec, batch_tokens
        self._gather = Gather(spec.outputs, spec.dimension, spec.dropped_ids, spec.truncate_dim)
        self._sessions: dict[Mode, Session] = {}
        self._tokenizer: Tokenizer | None = None
        self.gives_multivectors = "token_vectors" in spec.outputs
        has_vectors = bool(spec.outputs & {DENSE, "token_vectors"})
        self.dense_fingerprint = dense_fingerprint if has_vectors else None
        self.lexical_fingerprint = lexical_fingerprint if "token_weights" in spec.outputs else None
        self.dimension: int | None = (spec.truncate_dim or spec.dimension) if DENSE in spec.outputs else None

    @property
    def runtime(self) -> Runtime:
        """Where it computes, as the loader says."""
        return self.loader.runtime

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages, several batches at a time."""
        return self._encode(texts, self.spec.instructions.document, "throughput")

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries, one batch at a time on all cores. What a query gets does not depend on the others."""
        return self._encode(texts, self.spec.instructions.query, "latency", self._alike)

    def _alike(
        self, ids: Sequence[TokenIds], budget_tokens: int, pad_id: int, longest: int
    ) -> Iterator[TokenBatch]:
        alike = self.spec.alike_tokens
        if alike is not None and self.runtime.precision == "f32":
            budget_tokens = min(budget_tokens, alike)
        return same_width(ids, budget_tokens, pad_id, longest)

    @property
    def combines_queries(self) -> bool:
        """Whether a query gets the same bits in a batch: OpenVINO's rows do not depend on their number up to
        `alike_tokens`."""
        return self.runtime.name == "openvino"

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """`{token id: token}` of a query that can carry a lexical weight; empty without a lexical head."""
        if "token_weights" not in self.spec.outputs:
            return {}
        (ids,) = self.tokenizer.encode([self.spec.instructions.query + text])
        return {int(i): self.tokenizer.token(int(i)) for i in ids if int(i) not in self.spec.dropped_ids}

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, with truncation."""
        if self._tokenizer is None:
            self._tokenizer = self.loader.tokenizer()
        return self._tokenizer

    def _encode(self, texts: Sequence[str], instruction: str, mode: Mode, cut: Cut = padded) -> Encoded:
        session = self.session(mode)
        if instruction:
            texts = [instruction + text for text in texts]
        return self._gather(session.run(self.batches(texts, cut)), len(texts))

    def batches(self, texts: Sequence[str], cut: Cut = padded) -> Iterator[TokenBatch]:
        """The texts as the model gets them, tokenized and cut into batches as they are drawn."""
        spec = self.spec
        return token_batches(texts, self.tokenizer.encode, self.batch_tokens, spec.pad_id, spec.max_tokens, cut)

    def session(self, mode: Mode) -> Session:
        """The loaded model."""
        # A process that builds and then queries uses one loaded model for both: half the memory.
        if found := self._sessions.get(mode) or self._sessions.get("throughput"):
            return found
        session = self._sessions[mode] = self.loader.session(mode)
        return session
