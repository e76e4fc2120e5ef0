"""How much of a passage an encoder reads before it cuts the rest off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import EncoderSettings
from pipeline.models.contract import Encoder, leg_fingerprints
from pipeline.names import DENSE
from pipeline.records import Fingerprint


def tokens_read(settings: EncoderSettings, encoder: Encoder, tokenizer: Any, base: Path) -> dict[str, int]:
    """By leg, how many of a passage's own tokens are read: special tokens and the instruction take their part.

    A leg without a limit (BM25), or whose limit is not known (a server that does not tell), is not there.
    `tokenizer`: that of the chunks.
    """
    limits: dict[str, int] = {}
    for leg, fingerprint in leg_fingerprints(encoder).items():
        fields = dict((fingerprint or Fingerprint(())).fields)
        longest = _limit(settings, leg, fields.get("max_tokens", ""), base)
        if longest is not None:
            instruction = fields.get("document_instruction", "")
            taken = tokenizer.num_special_tokens_to_add(False)
            words = instruction.rstrip()  # the space at its end goes into the text's first token
            taken += len(tokenizer.encode(words, add_special_tokens=False).ids) if words else 0
            limits[leg] = max(0, longest - taken)
    return limits


def _limit(settings: EncoderSettings, leg: str, recorded: str, base: Path) -> int | None:
    """`recorded`: as the fingerprint has it; `trained` is what the model's own files say, if they do."""
    if recorded != "trained":
        return int(recorded) if recorded.isdecimal() else None
    from pipeline.models.choose.local import saved_limit

    return saved_limit(settings, settings.model if leg == DENSE else settings.lexical, base)
