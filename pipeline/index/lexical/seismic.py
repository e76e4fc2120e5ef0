"""Searching the lexical leg of a segment approximately: Seismic (the extra `seismic`), imported only when needed.

Seismic proposes chunks; what they score comes from the inverted index, so it is the same bits whoever found them.
It takes no mask: a search that deletions or a filter leave short of hits is left to the inverted index, and so is
every search where the library, or the version that wrote the file, is not installed.

The file is derived from the lexical rows. Its component ids are places among the segment's distinct token ids. It
is loaded whole, and the library holds the interpreter's lock while it searches.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import CorruptIndexError, MissingDependencyError
from pipeline.forking import Lock, shared_property
from pipeline.index.lexical.postings import Ordinals, TokenIds
from pipeline.index.lexical.search import InvertedIndex, SparseQuery, best
from pipeline.index.manifest import SeismicParameters
from pipeline.records import Float32

SEISMIC_FILE = "lexical.seismic"
MEASURED_TOKENS = 16
"""Tokens of the queries that a segment is tuned with. A longer query looks at as large a share of its tokens."""
LEAST_PROPOSED = 128
"""However few hits are wanted: the recall that is recorded is measured with so many candidates."""
_PACKAGE = "pyseismic-lsr"
_INSTALL = "pip install 'hybrid-pipeline[seismic]'"
_SELECTIVE = 4
"""A search that may return less than one chunk in so many reads the postings instead."""
_DEEP = 8
"""So does one that wants more candidates than one chunk in so many."""

Mask = npt.NDArray[np.bool_]

log = logging.getLogger(__name__)


def library() -> Any:
    """The class of Seismic that has numbers for tokens and chunks. Raises `MissingDependencyError`."""
    try:
        import seismic
    except ImportError as error:
        raise _missing(error) from None
    return seismic.SeismicIndexRawLV


def _missing(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(f"segments.lexical: seismic needs the package {_PACKAGE} ({error}); {_INSTALL}")


def version() -> str:
    """The installed version of the library. Raises `MissingDependencyError`."""
    library()
    try:
        return metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise _missing(error) from None


def unusable(parameters: SeismicParameters) -> str | None:
    """Why a sound file cannot be searched here, `None` if it can. Its format has no version of its own."""
    try:
        here = version()
    except MissingDependencyError:
        return f"{_PACKAGE} is not installed; {_INSTALL}"
    if here != parameters.library:
        return f"{_PACKAGE} {parameters.library} wrote it, {here} is installed; `pipeline repair` rebuilds it"
    return None


def load_failure(path: Path) -> str | None:
    """Why the library cannot load a file, `None` if it can: tried in a process of its own, which it may end."""
    return in_child("seismic.SeismicIndexRawLV.load(sys.argv[1])", path)


def in_child(statement: str, *arguments: Path) -> str | None:
    """Run a statement that uses the library in another process; what went wrong, or `None`.

    There it may print, panic, run out of memory or crash, and its memory is given back.
    """
    # -P: a file `seismic.py` in the working folder is not the library.
    command = [sys.executable, "-P", "-c", f"import sys, seismic\n{statement}", *map(str, arguments)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"RUST_BACKTRACE": "0"},
        check=False,
    )
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"the library ended its process with {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


@cache
def _warn_once(reason: str) -> None:
    log.warning("lexical searches read all postings instead of %s: %s", SEISMIC_FILE, reason)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a search needs: the library's index, and the token id of each of its components."""

    index: Any
    token_ids: TokenIds


class SeismicIndex:
    """The approximate lexical index of a segment. The file is loaded by the first search that uses it."""

    def __init__(self, folder: Path, parameters: SeismicParameters) -> None:
        """Opens nothing."""
        self._path = folder / SEISMIC_FILE
        self.parameters = parameters
        self._loading = Lock()
        self._loaded: _Loaded | None = None

    def search(
        self, inverted: InvertedIndex, query: SparseQuery, depth: int, excluded: Mask | None
    ) -> tuple[Ordinals, Float32] | None:
        """At least `depth` chunks, best first, as `InvertedIndex.search` gives them, where some of the best may be
        missing; `None` where only that will do.

        `excluded`: True where a chunk is gone or filtered out. Raises `CorruptIndexError`.
        """
        alive = inverted.chunks if excluded is None else int(np.count_nonzero(~excluded))
        if _SELECTIVE * alive < inverted.chunks:
            return None
        wanted = proposed(depth * inverted.chunks / alive)
        if _DEEP * wanted > inverted.chunks:
            return None
        if self._unusable is not None:
            _warn_once(self._unusable)
            return None
        tokens, usual = len(query.token_ids), self.parameters.query_cut
        share = max(usual, -(-tokens * usual // MEASURED_TOKENS))
        for query_cut in sorted({min(share, tokens), tokens}):  # all of them if the heaviest stand in few chunks
            found = self.candidates(inverted, query, wanted, query_cut, self.parameters.heap_factor)
            if excluded is not None:
                found = found[~excluded[found]]
            scores = inverted.scores(query, found, None)
            matched = scores > 0
            ordinals, kept = best(found[matched], scores[matched], depth)
            # Something must lie below the cut: equal scores (repeated texts) could go on beyond the candidates.
            if depth <= len(ordinals) < np.count_nonzero(matched):
                return ordinals, kept
        return None

    @shared_property
    def _unusable(self) -> str | None:
        return unusable(self.parameters)

    def candidates(
        self, inverted: InvertedIndex, query: SparseQuery, wanted: int, query_cut: int, heap_factor: float
    ) -> Ordinals:
        """Up to `wanted` chunks that share a token with the query, ascending. Raises `CorruptIndexError`."""
        loaded = self._load(inverted)
        places = np.minimum(np.searchsorted(loaded.token_ids, query.token_ids), len(loaded.token_ids) - 1)
        known = loaded.token_ids[places] == query.token_ids
        components = places[known].astype(np.int32)
        if not len(components):
            return np.zeros(0, np.int64)
        with _translated(self._path):
            pairs = loaded.index.search(components, query.weights[known], wanted, query_cut, heap_factor, 0, True)
        found: Ordinals = np.unique(np.fromiter((ordinal for _, ordinal in pairs), np.int64, len(pairs)))
        if len(found) and found[-1] >= inverted.chunks:
            raise _corrupt(self._path, f"names chunks beyond the segment's {inverted.chunks}")
        return found

    def _load(self, inverted: InvertedIndex) -> _Loaded:
        with self._loading:
            if self._loaded is None:
                token_ids, kind = inverted.vocabulary(), library()
                with _translated(self._path):
                    index = kind.load(str(self._path))
                if (index.len, index.dim) != (inverted.chunks, len(token_ids)):
                    raise _corrupt(
                        self._path,
                        f"holds {index.len} chunks and {index.dim} tokens, "
                        f"the postings {inverted.chunks} and {len(token_ids)}",
                    )
                self._loaded = _Loaded(index, token_ids)
            return self._loaded


def proposed(depth: float) -> int:
    """How many candidates to ask for where `depth` hits are wanted: a quarter more, rounded up to a power of two,
    so that a few hits more or less change nothing."""
    return max(LEAST_PROPOSED, 1 << (int(1.25 * depth) - 1).bit_length())


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """What the library says to a file that it did not write, as `CorruptIndexError`."""
    try:
        yield
    except BaseException as error:
        # A panic of Rust is no `Exception`, and its class cannot be imported; Ctrl-C must get through.
        if not isinstance(error, (OSError, ValueError)) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _corrupt(path, f"Seismic cannot use it ({reason})") from None


def _corrupt(path: Path, why: str) -> CorruptIndexError:
    return CorruptIndexError(f"{path}: {why}; `pipeline repair` rebuilds it")
