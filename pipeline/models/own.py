"""An encoder that an application passes as an object, instead of settings: checked, and shared like any other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from pipeline.arguments import shown
from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError, EncoderError
from pipeline.models.contract import Encoder
from pipeline.models.shared import SharedEncoder
from pipeline.records import Fingerprint

_MEMBERS = tuple(name for name in vars(Encoder) if not name.startswith("_"))
_ENCODES = ("encode_documents", "encode_queries")


def is_encoder(value: object) -> bool:
    """Whether an argument is meant as an encoder, rather than as settings of one."""
    settings = value is None or isinstance(value, EncoderSettings | Mapping)
    return not settings and any(_has(value, name) for name in _ENCODES)


def own_encoder(value: object) -> SharedEncoder:
    """The argument `encoder`, shared by all threads, if it offers what `Encoder` says. Raises `ConfigError`."""
    if isinstance(value, SharedEncoder) and value.own is not None:
        return value
    if isinstance(value, type):
        raise ConfigError(f"encoder={shown(value)}: is a class; pass an object of it")
    missing = [name for name in _MEMBERS if not _has(value, name)]
    if not is_encoder(value):
        raise ConfigError(
            f"encoder={shown(value)}: give an object that offers {', '.join(missing)}, or leave it out"
        )
    if missing:
        raise ConfigError(f"encoder={shown(value)}: lacks {', '.join(missing)}, which every encoder offers")
    encoder = cast(Encoder, value)
    prints = (encoder.dense_fingerprint, encoder.lexical_fingerprint)
    if not all(found is None or isinstance(found, Fingerprint) for found in prints) or prints == (None, None):
        raise ConfigError(
            f"encoder={shown(value)}: its fingerprints are {shown(prints)}; make one by `Fingerprint.of` for each "
            "leg that it has, None for the other"
        )
    return SharedEncoder(lambda: encoder, own=encoder)


def _has(value: object, name: str) -> bool:
    """Whether an object has an attribute; a property is not asked for its value, which may load a model."""
    return hasattr(type(value), name) or hasattr(value, name)


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)


def check_travels(index: Path, encoder: Encoder) -> None:
    """Raise `EncoderError` if an encoder cannot be pickled, which the index that it belongs to is about to be."""
    from multiprocessing.reduction import ForkingPickler

    try:
        ForkingPickler(_Nowhere()).dump(encoder)
    except Exception as error:
        raise EncoderError(
            f"{index}: an index is pickled with the encoder that was passed, and {shown(encoder)} cannot be "
            f"({' '.join(str(error).split())}); give its class a `__reduce__`, or pass the index's path and call "
            "`open_index(path, encoder=…)` there"
        ) from None
