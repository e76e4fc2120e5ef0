"""Indexes that were built when `encoder.model: embedded` named another model."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.config import EncoderSettings
from pipeline.models.local.english import english_fingerprint
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)


def fitting(
    settings: EncoderSettings, index: Path, built_with: Fingerprint | None, *, is_configured: bool = True
) -> EncoderSettings:
    """`settings`, or those that name the former embedded model, if they say `embedded` and the index was built so.

    `built_with`: fingerprint of the index's dense leg. Says in the log what to write instead; quietly where nothing
    is configured (`is_configured`), since the settings are those that the index itself records.
    """
    former = settings.with_former_default()
    if former is None or built_with != english_fingerprint():
        return settings
    log.log(
        logging.WARNING if is_configured else logging.INFO,
        "%s: was built when `embedded` was all-MiniLM-L6-v2, and goes on with it; set encoder.model: %s, or change "
        "to the multilingual model with `pipeline build --full`",
        index,
        former.model,
    )
    return former
