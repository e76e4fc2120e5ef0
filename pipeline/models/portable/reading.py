"""An encoder of the files that travelled with an index: nothing of the model's own folder or library is needed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError
from pipeline.models.files import cache
from pipeline.models.files.tokenizer import TOKENIZER_FILE
from pipeline.models.local.transformer import OpenVinoLoader, Tokenizer, TransformerEncoder
from pipeline.models.portable import record as records
from pipeline.models.portable.record import PortableRecord
from pipeline.models.runtime.openvino import refuse_precision
from pipeline.records import Fingerprint


def portable_side(folder: Path, settings: EncoderSettings) -> TransformerEncoder:
    """The encoder in a folder of `writing.portable_encoder`. Cheap: it is loaded by the first encode.

    Of the settings only `precision` and `multivectors` count: the rest is as it was exported. Raises `EncoderError`
    for files that are damaged, `ConfigError` for a precision that the CPU does not have.
    """
    record = records.read(folder)
    precision = None if settings.precision == "auto" else settings.precision
    refuse_precision(precision, "encoder.precision")
    spec = record.spec
    if settings.multivectors and record.multivectors:
        spec = dataclasses.replace(spec, outputs=spec.outputs | {"token_vectors"})
    loader = OpenVinoLoader(_Intact(folder), spec.outputs, lambda: _open_tokenizer(folder, record), precision)
    return TransformerEncoder(
        loader, spec, _fingerprint(record.dense), _fingerprint(record.lexical), batch_tokens=record.batch_tokens
    )


@dataclass(frozen=True, slots=True)
class _Intact:
    """The folder, if it is what was exported: nothing here could convert the model again."""

    folder: Path

    def __call__(self, *, checksums: bool, rebuild: bool) -> Path:
        if rebuild or not cache.is_intact(self.folder, checksums=checksums):
            raise EncoderError(f"{self.folder}: the encoder in it is damaged; {records.again(self.folder)}")
        return self.folder


def _open_tokenizer(folder: Path, record: PortableRecord) -> Tokenizer:
    if record.tokenizer == "unigram":
        from pipeline.models.e5.tokenizer import E5Tokenizer

        return cache.loaded(_Intact(folder), lambda place: E5Tokenizer(place, record.spec.max_tokens))
    from pipeline.models.tokens.compact import open_tokenizer

    return cache.loaded(
        _Intact(folder),
        lambda place: open_tokenizer(place, lambda: place / TOKENIZER_FILE).limit(record.spec.max_tokens),
    )


def _fingerprint(fields: dict[str, str] | None) -> Fingerprint | None:
    return None if fields is None else Fingerprint(tuple(sorted(fields.items())))
