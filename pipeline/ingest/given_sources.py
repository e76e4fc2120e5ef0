"""Sources that give vectors: what is wrong with them is told before any of them is read."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Mapping

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.given import MADE_BY, Wanted
from pipeline.ingest.formats.columnar import schema_of
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.given.given_rows import given_columns
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.suffixes import ARROW_SUFFIXES
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)

GIVEN_SUFFIXES = frozenset({".parquet"}) | ARROW_SUFFIXES


def giving(
    files: Iterable[SourceFile], wanted: Wanted, made_by: Mapping[str, Fingerprint] | None = None
) -> list[SourceFile]:
    """The files, to be read with the vectors that their rows give.

    `made_by`: by leg, what is to have made them; logs a warning for a file that says it is another's.
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
        _warn_of_others(file, schema, made_by or {})
    return found


def _warn_of_others(file: SourceFile, schema: pa.Schema, made_by: Mapping[str, Fingerprint]) -> None:
    """Log what a file of `export --vectors` says of the model, where it is not the configured one.

    No more than that: the same model may have another name here, and the texts that are compared tell.
    """
    try:
        told = json.loads((schema.metadata or {}).get(MADE_BY.encode(), b"{}"))
        for leg, expected in made_by.items():
            fields = tuple(sorted((str(name), str(value)) for name, value in told.get(leg, {}).items()))
            if fields and (changed := Fingerprint(fields).differences(expected)):
                log.warning("%s: %s of another model (file → configured): %s", file.label, leg, "; ".join(changed))
    except (ValueError, AttributeError, TypeError):
        log.warning("%s: says in its metadata %s what cannot be read", file.label, MADE_BY)
