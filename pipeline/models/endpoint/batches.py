"""Many texts through small concurrent requests; what was answered before a failure is kept for the next try."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.errors import EncoderError
from pipeline.models.contract import TokenCounter
from pipeline.models.endpoint.answers import AnswerError
from pipeline.models.endpoint.http import PayloadTooLargeError, StoppedError

Row = TypeVar("Row")
Ask = Callable[[Sequence[str], threading.Event], Sequence[Row]]

KEPT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request, and of the requests in flight."""

    texts: int
    tokens: int
    concurrency: int


def estimate_tokens(text: str) -> int:
    """A high guess from the UTF-8 length: a token is rarely shorter than three bytes (one Hangul syllable)."""
    return len(text.encode("utf-8", "replace")) // 3 + 2


def cut(sizes: Sequence[int], limits: Limits) -> list[list[int]]:
    """Positions in order, in batches within the limits; a text above them is a batch of its own."""
    batches: list[list[int]] = []
    tokens = 0
    for i, size in enumerate(sizes):
        if not batches or len(batches[-1]) >= limits.texts or tokens + size > limits.tokens:
            batches.append([])
            tokens = 0
        batches[-1].append(i)
        tokens += size
    return batches


class BatchRunner(Generic[Row]):
    """Asks for the rows of texts. One caller at a time.

    Equal texts are asked for once. When a call fails, the rows it did get are kept (up to 64 MiB), so that the same
    call made again asks only for the rest; a call that succeeds forgets the rows of its texts.
    """

    def __init__(self, endpoint: str, ask: Ask[Row], row_bytes: Callable[[Row], int]) -> None:
        self._endpoint, self._ask, self._row_bytes = endpoint, ask, row_bytes
        self._kept: dict[str, Row] = {}
        self._kept_bytes = 0
        self._refused: list[tuple[int, int]] = []

    def run(self, texts: Sequence[str], limits: Limits, count_tokens: TokenCounter) -> list[Row]:
        """One row a text, in order. Raises `EncoderError`."""
        rows = {text: self._kept[text] for text in texts if text in self._kept}
        missing = [text for text in dict.fromkeys(texts) if text not in rows]
        sizes = [count_tokens(text) for text in missing]
        call = _Call(self, missing, sizes, texts, rows)
        try:
            call.run(cut(sizes, limits), limits.concurrency)
        except BaseException:
            self._keep(rows)
            raise
        for text in rows.keys() & self._kept.keys():
            self._kept_bytes -= self._weight(text, self._kept.pop(text))
        return [rows[text] for text in texts]

    def _keep(self, rows: dict[str, Row]) -> None:
        for text, row in rows.items():
            weight = self._weight(text, row)
            if text not in self._kept and self._kept_bytes + weight <= KEPT_BYTES:
                self._kept[text] = row
                self._kept_bytes += weight

    def _weight(self, text: str, row: Row) -> int:
        return self._row_bytes(row) + 4 * len(text)

    def is_refused(self, count: int, tokens: int) -> bool:
        """Whether the server refused a request that was no larger in either measure."""
        return any(count >= texts and tokens >= size for texts, size in self._refused)

    def refuse(self, count: int, tokens: int) -> None:
        """Remember a request that was too large."""
        self._refused = [(c, t) for c, t in self._refused if c < count or t < tokens] + [(count, tokens)]

    def ask(self, texts: Sequence[str], stop: threading.Event) -> Sequence[Row]:
        """One request."""
        return self._ask(texts, stop)

    @property
    def endpoint(self) -> str:
        """Names the server in errors."""
        return self._endpoint


class _Call(Generic[Row]):
    """One `run`: fills `rows` from several threads; each text is written by one thread only."""

    def __init__(
        self,
        runner: BatchRunner[Row],
        missing: list[str],
        sizes: list[int],
        texts: Sequence[str],
        rows: dict[str, Row],
    ) -> None:
        self._runner, self._missing, self._sizes, self._texts, self._rows = runner, missing, sizes, texts, rows
        self._stop = threading.Event()

    def run(self, batches: list[list[int]], concurrency: int) -> None:
        if len(batches) < 2 or concurrency == 1:
            for batch in batches:
                self._encode(batch)
            return
        failure: BaseException | None = None
        with ThreadPoolExecutor(min(concurrency, len(batches)), "endpoint") as pool:
            try:
                for future in as_completed([pool.submit(self._encode, batch) for batch in batches]):
                    error = future.exception()
                    if error is not None and (failure is None or isinstance(failure, StoppedError)):
                        failure = error
                        self._stop.set()
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failure is not None:
            raise failure

    def _encode(self, batch: list[int]) -> None:
        if self._stop.is_set():
            raise StoppedError(f"{self._runner.endpoint}: stopped, because another request failed")
        texts = [self._missing[i] for i in batch]
        tokens = sum(self._sizes[i] for i in batch)
        if len(batch) > 1 and self._runner.is_refused(len(batch), tokens):
            self._halve(batch)
            return
        problem: AnswerError | PayloadTooLargeError
        try:
            self._rows.update(zip(texts, self._runner.ask(texts, self._stop), strict=True))
            return
        except (AnswerError, PayloadTooLargeError) as error:
            problem = error
        if isinstance(problem, AnswerError):
            where = "" if problem.row is None else f" for {self._named(batch[problem.row])}"
            raise EncoderError(f"{self._runner.endpoint}: unusable answer: {problem.problem}{where}")
        if len(batch) == 1:
            raise EncoderError(
                f"{problem}: {self._named(batch[0])} is too large even in a request of its own; make chunks smaller"
            )
        self._runner.refuse(len(batch), tokens)
        self._halve(batch)

    def _halve(self, batch: list[int]) -> None:
        middle = len(batch) // 2
        self._encode(batch[:middle])
        self._encode(batch[middle:])

    def _named(self, i: int) -> str:
        text = self._missing[i]
        position = next(p for p, other in enumerate(self._texts, 1) if other == text)
        return f"text {position} of {len(self._texts)} ({len(text):,} characters, about {self._sizes[i]:,} tokens)"
