"""The error tree. Every error of this package derives from `PipelineError`.

    PipelineError
    ├── ConfigError                 config.yaml: unknown key, wrong type, values that contradict each other
    ├── SourceError                 a source folder or file that cannot be read at all
    │   ├── RejectedDocumentsError  documents were rejected and the build is strict
    │   └── DeletionGuardError      more documents are missing than `max_delete_ratio` allows to delete
    ├── EncoderError                an encoder cannot be loaded or gave an unusable answer
    │   ├── MissingDependencyError  an optional package is not installed; says how to install it
    │   └── NoMultivectorsError     multi-vectors are asked of one that gives none
    ├── IndexStoreError             something about an index folder
    │   ├── IndexNotFoundError      no index, or no complete generation, at that path
    │   ├── CorruptIndexError       a file is missing, truncated, altered or inconsistent
    │   ├── IncompatibleIndexError  built with another encoder, chunker or format
    │   ├── IndexLockedError        another process is writing to the index
    │   ├── OvertakenError          another builder has published a generation of this number in the object store
    │   └── ObjectStoreError        an object store does not answer, refuses, or has not what it should have
    ├── GateRefusedError            a finished build did not pass the quality gate; it stays staged
    ├── ServiceError                a search service cannot be reached, refuses to answer or answers something else
    │   └── ShardsFailedError       shards of an index did not answer; says which
    │       └── GenerationGoneError     some have another generation than the one that is searched
    ├── QueryError                  an empty query, k below one, an unknown mode or fusion
    └── EvaluationError             queries, qrels or runs that cannot be read or do not fit together

Messages are one line and name the file, the cause and the cure.
"""

from collections.abc import Sequence


class PipelineError(Exception):
    """Base of all errors raised on purpose by this package."""

    def __str__(self) -> str:
        """The message on one line, also where a file's name has more than one."""
        return super().__str__().replace("\n", r"\n").replace("\r", r"\r")


class ConfigError(PipelineError):
    """The configuration is missing, malformed or contradicts itself."""


class SourceError(PipelineError):
    """A configured source cannot be read."""


class RejectedDocumentsError(SourceError):
    """Documents were rejected and `strict` was asked for."""


class DeletionGuardError(SourceError):
    """More documents are missing from the sources than `max_delete_ratio` allows to delete."""


class EncoderError(PipelineError):
    """An encoder cannot be loaded or returned something unusable."""


class MissingDependencyError(EncoderError):
    """An optional package is needed and not installed."""


class NoMultivectorsError(EncoderError):
    """A search is to be reranked by multi-vectors, and the encoder gives none."""


class IndexStoreError(PipelineError):
    """Base of errors about an index folder."""


class IndexNotFoundError(IndexStoreError):
    """There is no index, or no complete generation, at the given path."""


class CorruptIndexError(IndexStoreError):
    """A file of the index is missing, truncated, altered or inconsistent."""


class IncompatibleIndexError(IndexStoreError):
    """The index was built with another encoder, chunker or format version."""


class IndexLockedError(IndexStoreError):
    """Another process holds the writer lock."""


class OvertakenError(IndexStoreError):
    """Another builder was the first to publish the next generation of an index in an object store."""


class ObjectStoreError(IndexStoreError):
    """An object store cannot be used. `unreachable`: it did not answer, so that another try may be worth it."""

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class GateRefusedError(PipelineError):
    """A finished build did not pass the quality gate. It stays staged; the live generation is as it was."""


class ServiceError(PipelineError):
    """A search service cannot be reached, refuses to answer, or answers what no service of this package does."""


class ShardsFailedError(ServiceError):
    """Shards did not answer, or answered what no shard does. `reasons`: of each by its name, such as `1/3`."""

    def __init__(self, index: str, reasons: dict[str, str]) -> None:
        self.index, self.reasons = index, reasons
        told = "; ".join(f"shard {name}: {reason}" for name, reason in sorted(reasons.items()))
        super().__init__(f"{index}: {told}; see to them, or ask for an answer without them")

    @property
    def shards(self) -> frozenset[str]:
        """The names of the shards."""
        return frozenset(self.reasons)


class GenerationGoneError(ShardsFailedError):
    """Shards have moved on from the generation that is searched, or do not have it yet."""


class QueryError(PipelineError):
    """A query or its options make no sense. `fields`: which arguments are wrong, where the message does not begin
    with one, such as `query.1` for the second query."""

    def __init__(self, message: str, *, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)


class EvaluationError(PipelineError):
    """Queries, judgements or runs cannot be read or do not fit together."""
