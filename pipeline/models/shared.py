"""One encoder for everybody who searches: many threads, and processes that were forked from this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pipeline.combining import Combiner, HandOn
from pipeline.forking import Lock, PerProcess
from pipeline.models.contract import Encoder, LexicalScoring, Runtime, combines_queries, described_queries
from pipeline.records import Encoded, Fingerprint, SparseRows

MOST_TOGETHER = 16
"""Queries that are encoded in one call for several callers; more would make the first wait for the last."""


class SharedEncoder:
    """An encoder whose callers take turns. A forked child loads another: threads do not outlive a fork.

    Queries that wait for their turn are encoded together, where the encoder says that this changes nothing.
    """

    def __init__(self, load: Callable[[], Encoder], own: Encoder | None = None) -> None:
        """Loads at once. Raises what `load` raises. `own`: the object, if an application passed the encoder as one;
        `load` then returns it, and a forked child goes on with it as it is there."""
        self.own = own
        self._encoder = PerProcess(load)
        self._turn = Lock()
        self._together = Combiner(
            partial(_encoded_together, self._encoder, self._turn), most=MOST_TOGETHER, size=len
        )
        self._encoder.get()

    @property
    def waiting(self) -> int:
        """How many callers wait for their queries to be encoded with others'."""
        return self._together.waiting

    @property
    def dense_fingerprint(self) -> Fingerprint | None:
        """Fingerprint of the dense output."""
        return self._encoder.get().dense_fingerprint

    @property
    def lexical_fingerprint(self) -> Fingerprint | None:
        """Fingerprint of the lexical output."""
        return self._encoder.get().lexical_fingerprint

    @property
    def dimension(self) -> int | None:
        """Columns of the dense matrix."""
        with self._turn:
            return self._encoder.get().dimension

    @property
    def combines_queries(self) -> bool:
        """Whether a query gets the same bits whatever it is encoded with."""
        return combines_queries(self._encoder.get())

    @property
    def gives_multivectors(self) -> bool:
        """Whether the encoder does."""
        return self._encoder.get().gives_multivectors

    @property
    def lexical_scoring(self) -> LexicalScoring:
        """How lexical scores are computed."""
        return self._encoder.get().lexical_scoring

    @property
    def runtime(self) -> Runtime:
        """Where it computes."""
        return self._encoder.get().runtime

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        """Encode passages when it is this caller's turn."""
        with self._turn:
            return self._encoder.get().encode_documents(texts)

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        """Encode queries when it is this caller's turn, or with those of another's."""
        if len(texts) <= MOST_TOGETHER and self.combines_queries:
            return self._together(texts)
        with self._turn:
            return self._encoder.get().encode_queries(texts)

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        """The encoder's tokens, when it is this caller's turn."""
        with self._turn:
            return self._encoder.get().describe_tokens(text)

    def describe_queries(self, texts: Sequence[str], rows: SparseRows | None = None) -> Sequence[Mapping[int, str]]:
        """The encoder's tokens of several texts (`described_queries`), when it is this caller's turn."""
        with self._turn:
            return described_queries(self._encoder.get(), texts, rows)


def _encoded_together(
    encoder: PerProcess[Encoder], turn: Lock, calls: Sequence[Sequence[str]], _: HandOn
) -> Sequence[Encoded]:
    with turn:
        encoded = encoder.get().encode_queries([text for texts in calls for text in texts])
    return encoded.split([len(texts) for texts in calls])
