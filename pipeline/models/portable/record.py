"""The record of an encoder that travels: what its model's own files would tell, and its files with their checksums.

Beside it stand the converted model and its tokenizer, in one folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import EncoderError
from pipeline.models.local.transformer import TokenizerForm, TransformerSpec

RECORD_FILE = "encoder.json"
FORMAT_VERSION: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class PortableRecord:
    """How the model beside it is used.

    `multivectors`: whether the model gives them, wanted or not. `dense`, `lexical`: fields of the fingerprints,
    `None` for a leg that it does not serve.
    """

    spec: TransformerSpec
    tokenizer: TokenizerForm
    multivectors: bool
    batch_tokens: int
    dense: dict[str, str] | None
    lexical: dict[str, str] | None
    format_version: Literal[1] = FORMAT_VERSION
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@cache
def _adapter() -> TypeAdapter[PortableRecord]:
    return TypeAdapter(PortableRecord)


def to_bytes(record: PortableRecord) -> bytes:
    """The record as it is written; the same record gives the same bytes."""
    body = _adapter().dump_python(record, mode="json")
    body["spec"]["outputs"].sort()
    return f"{json.dumps(body, ensure_ascii=False, indent=1)}\n".encode()


def read(folder: Path) -> PortableRecord:
    """The record in a folder. Raises `EncoderError`."""
    path = folder / RECORD_FILE
    try:
        found: Mapping[str, object] = json.loads(path.read_bytes())
        return _adapter().validate_python(found)
    except ValidationError as error:
        detail = error.errors()[0]
        reason = f"`{'.'.join(map(str, detail['loc']))}`: {detail['msg']}"
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error)
    raise EncoderError(f"{path}: cannot be read: {reason}; {again(folder)}")


def again(folder: Path) -> str:
    """What to do about an encoder that is damaged."""
    return f"export the index again and import it, or remove {folder.parent} where the model itself is installed"
