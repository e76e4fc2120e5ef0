"""Which fusion a query gets: what is configured, or the weights that a model's paper gives for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline import names
from pipeline.config import FusionSettings, checked_settings
from pipeline.errors import QueryError
from pipeline.index.manifest import Manifest
from pipeline.query.fusion.calibration import Calibration, calibrate
from pipeline.query.fusion.methods import PRESETS, known_methods, preset_weights, unknown

BGE_M3_PRESET = "m3-miracl"


def choose_fusion(
    fusion: FusionSettings, manifest: Manifest, legs: Sequence[str]
) -> tuple[str, Mapping[str, float]]:
    """The method and its weights. `auto` on a pure BGE-M3 index is the published weighting, unless weights are set.

    Raises `QueryError` if a preset has no weights for these legs.
    """
    preset: str | None = fusion.preset
    if preset is None and fusion.method == "auto" and not fusion.weights and _is_bge_m3(manifest):
        preset = BGE_M3_PRESET
    if preset is None or len(legs) < 2:
        return fusion.method, fusion.weights
    return "weighted", preset_weights(preset, legs) | fusion.weights


def calibration_of(manifest: Manifest, legs: Sequence[str]) -> Calibration:
    """The calibration that a generation keeps; without one, or with one of another version, what priors say."""
    found = Calibration.from_json(manifest.statistics.calibration)
    return calibrate(legs, (), manifest.chunks, manifest.fingerprints) if found is None else found


def chosen_fusion(configured: FusionSettings, fusion: object) -> FusionSettings:
    """What a search asks for: settings, a mapping of them, a name (`named_fusion`), or `None`: as configured.

    Raises `QueryError` for anything else.
    """
    if fusion is None:
        return configured
    if isinstance(fusion, str):
        return named_fusion(configured, fusion)
    return checked_settings(FusionSettings, fusion, "fusion", QueryError, "the name of a method or preset")


def named_fusion(settings: FusionSettings, name: str) -> FusionSettings:
    """The configured fusion by another method, or by a preset. Raises `QueryError` for an unknown name.

    The configured weights stay with the configured method, and mean nothing for another.
    """
    if name in (settings.preset, settings.method if settings.preset is None else None):
        return settings
    if name in PRESETS:
        return settings.model_copy(update={"method": "auto", "preset": name, "weights": {}})
    if name not in known_methods():
        raise QueryError(unknown("fusion", name, (*known_methods(), *sorted(PRESETS))), fields=("fusion",))
    return settings.model_copy(update={"method": name, "preset": None, "weights": {}})


def _is_bge_m3(manifest: Manifest) -> bool:
    dense, lexical = (manifest.fingerprints.get(leg, {}) for leg in names.LEGS)
    same = all(dense.get(field) == lexical.get(field) for field in ("model", "revision"))
    return lexical.get("kind") == "bge-m3" and same
