"""Which of the encoder's settings the chosen kinds have, so that none is ignored in silence."""

from __future__ import annotations

from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError
from pipeline.models.choose.kinds import NOT_FOR_ALL, Choice, resolve
from pipeline.names import LEXICAL

_ALREADY = {"runtime": "openvino", "device": "cpu"}
"""What the embedded model and BM25 do anyway."""


def refuse_unused(settings: EncoderSettings) -> None:
    """Raise `ConfigError` for a setting that neither side has, and for an endpoint that would never be asked."""
    choice = resolve(settings)
    _refuse_idle_endpoints(settings, choice)
    used = frozenset[str]().union(*(kind.settings for kind in choice.kinds))
    for name in sorted(NOT_FOR_ALL - used):
        value = getattr(settings, name)
        if value != EncoderSettings.model_fields[name].default and value != _ALREADY.get(name):
            raise ConfigError(
                f"encoder.{name}: neither encoder.model={settings.model} nor encoder.lexical={settings.lexical} "
                "has this setting; remove it or choose another model"
            )


def _refuse_idle_endpoints(settings: EncoderSettings, choice: Choice) -> None:
    for endpoint, side, kind in (
        ("endpoint", "model", choice.dense),
        ("lexical_endpoint", LEXICAL, choice.lexical),
    ):
        if getattr(settings, endpoint) is not None and not (kind and kind.asks_a_server):
            raise ConfigError(
                f"encoder.{endpoint} would never be asked, because encoder.{side}={getattr(settings, side)} needs "
                f"no server; set encoder.{side} to the name of the model that the server runs, or remove "
                f"encoder.{endpoint}"
            )
