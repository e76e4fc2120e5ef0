"""From an encoder's settings to the files that let another machine encode with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import xxhash

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError
from pipeline.models.choose.encoder import MixedEncoder, load_encoder
from pipeline.models.choose.kind import Kind
from pipeline.models.choose.kinds import resolve
from pipeline.models.contract import Encoder
from pipeline.models.e5.unigram import SETTINGS_FILE
from pipeline.models.files import cache
from pipeline.models.local.transformer import OpenVinoLoader, TokenizerForm, TransformerEncoder
from pipeline.models.portable.record import RECORD_FILE, PortableRecord, to_bytes
from pipeline.names import DENSE, LEXICAL
from pipeline.records import Fingerprint

Files = Mapping[str, Path | bytes]
"""Files by their path, `/` in it, and what each is made of."""

_ON_A_CPU = {"runtime": "auto", "device": "cpu"}
_PRECISIONS = ("auto", "f32", "bf16")
"""Those that a CPU may have. The matrices travel as this one keeps them for its own searches."""


def portable_encoder(settings: EncoderSettings, base: Path = Path()) -> tuple[Encoder, Files]:
    """The encoder of settings, as a CPU runs it, and the files that `reading.bundled_encoder` makes it of.

    No files where it needs none: BM25, a server. Raises `EncoderError` for a model that only its own library runs,
    and what `load_encoder` raises.
    """
    precision = settings.precision if settings.precision in _PRECISIONS else "auto"
    encoder = load_encoder(settings.model_copy(update={**_ON_A_CPU, "precision": precision}), base=base)
    choice = resolve(settings)
    dense, lexical = encoder, None
    if isinstance(encoder, MixedEncoder):
        dense, lexical = encoder.dense_encoder or encoder, encoder.lexical_encoder
    found: dict[str, Path | bytes] = {}
    if choice.dense is not None:
        found |= _side(DENSE, choice.dense, settings.model, dense)
    if choice.lexical is not None and lexical is not None:
        found |= _side(LEXICAL, choice.lexical, settings.lexical, lexical)
    return encoder, found


def files_of(folder: Path) -> Files | None:
    """The files of an encoder that came with an index, to be exported again; `None` if damaged or not there."""
    sides = [side for side in (DENSE, LEXICAL) if (folder / side).is_dir()]
    if not sides or not all(cache.is_intact(folder / side, checksums=True) for side in sides):
        return None
    return {
        f"{side}/{name}": folder / side / name
        for side in sides
        for name in [*cache.file_names(folder / side), cache.MANIFEST]
    }


def tokenizer_forms(files: Files) -> dict[str, TokenizerForm]:
    """By leg that has a model among these files, the form of its tokenizer."""
    sides = {name.partition("/")[0] for name in files}
    return {side: "unigram" if f"{side}/{SETTINGS_FILE}" in files else "stored" for side in sides}


def _side(side: str, kind: Kind, model: str, encoder: Encoder) -> dict[str, Path | bytes]:
    if not kind.has_model:
        return {}
    loader = encoder.loader if isinstance(encoder, TransformerEncoder) else None
    if not isinstance(encoder, TransformerEncoder) or not isinstance(loader, OpenVinoLoader):
        raise EncoderError(
            f"encoder: {model} runs by {encoder.runtime.name} only, so no converted model can travel with the "
            "index; export without the model, and install its library where it is searched"
        )
    parts = loader.parts()
    record = PortableRecord(
        spec=encoder.spec,
        tokenizer=parts.tokenizer,
        multivectors=parts.multivectors,
        batch_tokens=encoder.batch_tokens,
        dense=_fields(encoder.dense_fingerprint),
        lexical=_fields(encoder.lexical_fingerprint),
    )
    files: dict[str, Path | bytes] = {RECORD_FILE: to_bytes(record), **parts.files}
    entries = {name: _entry(origin) for name, origin in sorted(files.items())}
    return {
        f"{side}/{name}": origin for name, origin in [*files.items(), (cache.MANIFEST, cache.manifest(entries))]
    }


def _fields(fingerprint: Fingerprint | None) -> dict[str, str] | None:
    return dict(fingerprint.fields) if fingerprint else None


def _entry(origin: Path | bytes) -> cache.Entry:
    if isinstance(origin, bytes):
        return cache.Entry(len(origin), xxhash.xxh3_128_hexdigest(origin))
    return cache.Entry(origin.stat().st_size, cache.file_checksum(origin))
