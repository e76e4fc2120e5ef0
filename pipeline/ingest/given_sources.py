"""Sources that give vectors: what is wrong with them is told before any of them is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pipeline.errors import ConfigError
from pipeline.given import Wanted
from pipeline.ingest.formats.columnar import schema_of
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.given_rows import given_columns
from pipeline.ingest.sources import ARROW_SUFFIXES, SourceFile

GIVEN_SUFFIXES = frozenset({".parquet"}) | ARROW_SUFFIXES


def giving(files: Iterable[SourceFile], wanted: Wanted) -> list[SourceFile]:
    """The files, to be read with the vectors that their rows give.

    Raises `ConfigError` for one that cannot give them: of another format, or without a column that is needed. A
    broken one is left to be rejected.
    """
    found = [dataclasses.replace(file, wanted=wanted) for file in files]
    for file in found:
        if file.problem is not None:
            continue
        if file.suffix not in GIVEN_SUFFIXES:
            raise ConfigError(
                f"{file.label}: encoder.model: precomputed reads vectors from "
                f"{' '.join(sorted(GIVEN_SUFFIXES))}; name only such files in the source (`include`), or configure "
                "a model that encodes"
            )
        schema = schema_of(file)
        if schema is None:
            continue
        try:
            given_columns(schema, file)
        except UnreadableError as error:
            raise ConfigError(f"{file.label}: {error}") from None
    return found
