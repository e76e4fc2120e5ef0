"""From `encoder.endpoint` and `encoder.lexical_endpoint` to encoders."""

from __future__ import annotations

from pipeline.config import EncoderSettings, EndpointSection
from pipeline.errors import ConfigError
from pipeline.models.contract import Encoder
from pipeline.models.endpoint.encoders import endpoint_encoder
from pipeline.models.endpoint.settings import EndpointSettings
from pipeline.models.files.instructions import resolve_instructions
from pipeline.names import LEXICAL


def dense_endpoint(settings: EncoderSettings, section: EndpointSection) -> Encoder:
    """The encoder of the dense leg. Raises `ConfigError` for multi-vectors, which no protocol carries."""
    if settings.multivectors:
        raise ConfigError("encoder.multivectors: encoder.endpoint gives one vector a text; remove one of them")
    instructions = resolve_instructions(
        (settings.model,),
        {},
        query=settings.query_instruction,
        document=settings.document_instruction,
        task=settings.task,
    )
    return endpoint_encoder(
        EndpointSettings(
            model=settings.model,
            revision=settings.revision or "",
            max_tokens=settings.max_tokens,
            truncate_dim=settings.truncate_dim,
            query_instruction=instructions.query,
            document_instruction=instructions.document,
            **section.model_dump(),
        )
    )


def lexical_endpoint(settings: EncoderSettings, section: EndpointSection) -> Encoder:
    """The encoder of the lexical leg: a text-embeddings-inference server's `/embed_sparse`."""
    return endpoint_encoder(
        EndpointSettings(
            model=settings.lexical,
            leg=LEXICAL,
            revision="",
            max_tokens=settings.max_tokens,
            **section.model_dump(),
        )
    )
