"""Which of the encoder's settings the chosen models have, so that none is ignored in silence."""

from __future__ import annotations

from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError

_INSTRUCTIONS = frozenset({"query_instruction", "document_instruction", "task"})
_LOCAL_LEXICAL = frozenset({"runtime", "device", "precision", "max_tokens", "trust_remote_code"})
_LOCAL_DENSE = _LOCAL_LEXICAL | _INSTRUCTIONS | {"kind", "revision", "truncate_dim"}
_ENDPOINT_DENSE = _INSTRUCTIONS | {"revision", "max_tokens", "truncate_dim"}
_ALREADY = {"runtime": "openvino", "device": "cpu"}
"""What the embedded model and BM25 do anyway."""


def refuse_unused(settings: EncoderSettings) -> None:
    """Raise `ConfigError` for a setting that neither side has, and for an endpoint that would never be asked."""
    _refuse_idle_endpoints(settings)
    used = _dense_settings(settings) | _lexical_settings(settings)
    for name in sorted(_LOCAL_DENSE - used):
        value = getattr(settings, name)
        if value != EncoderSettings.model_fields[name].default and value != _ALREADY.get(name):
            raise ConfigError(
                f"encoder.{name}: neither encoder.model={settings.model} nor encoder.lexical={settings.lexical} "
                "has this setting; remove it or choose another model"
            )


def _refuse_idle_endpoints(settings: EncoderSettings) -> None:
    for endpoint, side, kinds in (
        ("endpoint", "model", ("embedded", "none")),
        ("lexical_endpoint", "lexical", ("auto", "bm25", "none")),
    ):
        chosen = getattr(settings, side)
        if getattr(settings, endpoint) is not None and chosen in kinds:
            raise ConfigError(
                f"encoder.{endpoint} would never be asked, because encoder.{side}={chosen} needs no server; set "
                f"encoder.{side} to the name of the model that the server runs, or remove encoder.{endpoint}"
            )


def _dense_settings(settings: EncoderSettings) -> frozenset[str]:
    match settings.model:
        case "none":
            return frozenset()
        case "embedded":
            return frozenset({"precision"})
    return _LOCAL_DENSE if settings.endpoint is None else _ENDPOINT_DENSE


def _lexical_settings(settings: EncoderSettings) -> frozenset[str]:
    if settings.lexical in ("auto", "bm25", "none"):
        return frozenset()
    return _LOCAL_LEXICAL if settings.lexical_endpoint is None else frozenset({"max_tokens"})
