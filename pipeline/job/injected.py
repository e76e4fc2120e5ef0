"""The encoder and the chunker of a job: objects that an application passes, or those that the settings name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import ChunkingSettings, Config, EncoderSettings
from pipeline.config.chunking import NO_CONTEXT
from pipeline.errors import ConfigError
from pipeline.index import store
from pipeline.index.choices import LexicalChoice
from pipeline.index.lexical import seismic_writer
from pipeline.index.manifest import Manifest
from pipeline.index.staging import StagedIngest
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.cutting.contract import DocumentChunker, checked_chunker
from pipeline.ingest.cutting.given_chunks import GivenChunks
from pipeline.job import plan as planning
from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder
from pipeline.models.choose.open_settings import as_found, as_recorded, goes_on
from pipeline.models.contract import Encoder
from pipeline.models.own import own_encoder
from pipeline.models.shared import SharedEncoder
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Injected:
    """What an application passed; `None`: as configured."""

    own_encoder: SharedEncoder | None = None
    own_chunker: DocumentChunker | None = None

    @classmethod
    def passed(cls, encoder: Encoder | None, chunker: DocumentChunker | None = None) -> Injected:
        """The arguments `encoder` and `chunker`, checked. Raises `ConfigError`."""
        return cls(
            None if encoder is None else own_encoder(encoder),
            None if chunker is None else checked_chunker(chunker),
        )

    def settled(self, config: Config) -> Config:
        """The configuration, without processes for devices if an encoder was passed: they would load another."""
        if self.own_encoder is None or not config.encode.devices:
            return config
        log.warning("encode.devices is not used: an encoder that is passed as an object encodes in this process")
        return config.model_copy(update={"encode": config.encode.model_copy(update={"devices": []})})

    def following(self, config: Config, full: bool) -> Config:
        """The configuration as the live generation has what its encoder leaves open, unless a build is `full`."""
        live = None if full else store.live_manifest(config.index_path)
        return config if live is None else self.suited_to(config, live)

    def suited_to(self, config: Config, manifest: Manifest) -> Config:
        """The configuration, with what its encoder leaves open as a generation has it."""
        if self.own_encoder is not None:
            return config
        found = as_recorded(config.encoder, manifest.fingerprints)
        if found.model != config.encoder.model:
            log.warning("%s", goes_on(config.index_path, found.model))
        for name in ("korean", "identifiers"):
            recorded, wanted = getattr(found.bm25, name), getattr(config.encoder.bm25, name)
            if recorded != wanted:
                log.info(
                    "encoder.bm25.%s: %s, as the index was built; `pipeline build --full` makes it %s",
                    name,
                    recorded,
                    wanted,
                )
        return _with_encoder(config, found)

    def as_recorded(self, config: Config, fingerprints: Mapping[str, Mapping[str, str]]) -> Config:
        """The configuration, with what its encoder leaves open as fingerprints (fields by part) have it."""
        if self.own_encoder is not None:
            return config
        return _with_encoder(config, as_recorded(config.encoder, fingerprints))

    def suited_to_texts(
        self, config: Config, encoder: Encoder, index: Path, staged: StagedIngest
    ) -> tuple[Config, Encoder]:
        """The configuration and its encoder, with what they still leave open as the texts suggest that are staged
        below `index`."""
        if self.own_encoder is not None:
            return config, encoder
        found = as_found(config.encoder, encoder, planning.sampled_texts(index, staged))
        if found is config.encoder:
            return config, encoder
        log.info("encoder.bm25.languages: %s", ", ".join(found.bm25.languages) or "none that has a stemmer")
        config = _with_encoder(config, found)
        return config, self.encoder(config)

    def encoder(self, config: Config) -> Encoder:
        """The encoder; refuses a lexical index that it does not suit, before anything is read."""
        encoder: Encoder | None = self.own_encoder
        if encoder is None:
            encoder = load_encoder(config.encoder, base=config.base, batch_tokens=config.encode.batch_tokens)
        wanted = LexicalChoice(config.segments.lexical, config.segments.recall_target)
        seismic_writer.check(wanted, encoder.lexical_scoring.kind)
        return encoder

    def chunker(
        self, config: Config, reader: Encoder | None = None, followed: Fingerprint | None = None
    ) -> DocumentChunker:
        """The chunker; one of the configured sizes counts tokens of the tokenizer that `config.encoder` names.

        `followed`: the fingerprint of the one that cut what is gone on with.

        Logs a warning if `reader`, made from those settings too, reads less of a text than a chunk may hold.
        """
        are_given = self.own_encoder is None and config.encoder.is_precomputed
        if self.own_chunker is not None:
            if are_given:
                raise ConfigError("chunker: rows whose vectors are given are chunks already; pass no chunker")
            return self.own_chunker
        if are_given:
            return GivenChunks()
        tokenizer = chunk_tokenizer(config.encoder, base=config.base)
        if reader is not None and self.own_encoder is None:
            planning.warn_of_unread_tokens(config, reader, tokenizer)
        return Chunker(_chunking(config, followed), tokenizer)


def _chunking(config: Config, followed: Fingerprint | None) -> ChunkingSettings:
    """The chunking of `config`, without what is not set there and what is gone on with was built without."""
    recorded = dict(followed.fields) if followed is not None else {}
    if "overlap_tokens" not in recorded:  # the first build, or a chunker of an application's own
        return config.chunking
    absent = _ABSENT.keys() - recorded.keys() - config.chunking.model_fields_set
    for name in sorted(absent):
        value, what = _ABSENT[name]
        log.warning(
            "%s: goes on without %s, as it was built; build with --full to have them, or set chunking.%s: %s",
            config.index_path,
            what,
            name,
            "false" if value is False else value,
        )
    return config.chunking.model_copy(update={name: _ABSENT[name][0] for name in absent})


_ABSENT: dict[str, tuple[object, str]] = {
    "context": (NO_CONTEXT, "titles and headings in what is encoded"),
    "table_headers": (False, "the headers of tables in what is encoded of their rows"),
}
"""Settings that an older chunker did not have: what it did, and what that leaves out."""


def _with_encoder(config: Config, encoder: EncoderSettings) -> Config:
    return config.model_copy(update={"encoder": encoder})
