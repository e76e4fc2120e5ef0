"""Whether an encoder is the one that an index was built with, and what to do where it is not."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import EncoderSettings
from pipeline.errors import IncompatibleIndexError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.models.choose.open_settings import as_recorded
from pipeline.models.contract import leg_fingerprints
from pipeline.models.shared import SharedEncoder
from pipeline.records import Fingerprint


def check_encoder(folder: Path, manifest: Manifest, encoder: SharedEncoder, from_index: bool = False) -> None:
    """Refuse an encoder whose fingerprints are not those of the index. Raises `IncompatibleIndexError`.

    `from_index`: it was made from the settings that the index itself records. If those make another kind of
    encoder than the index was built with, an application had passed an object in its place.
    """
    legs = leg_fingerprints(encoder)
    if encoder.own is not None:
        if problems := manifests.differences(manifest, legs):
            raise IncompatibleIndexError(
                f"{folder}: built with another encoder than the one passed (index → encoder): "
                f"{'; '.join(problems)}; pass the one that it was built with, or rebuild it with "
                "`build(config, encoder=…, full=True)`"
            )
    elif from_index and any(_kind(manifest.fingerprint(leg)) != _kind(mine) for leg, mine in legs.items()):
        built = {leg: found for leg in legs if (found := manifest.fingerprint(leg)) is not None}
        kinds = ", ".join(f"{leg} {_kind(found)}" for leg, found in built.items())
        raise IncompatibleIndexError(
            f"{folder}: built with an encoder of an application's own ({kinds}), which no settings make; "
            "pass the same encoder to `open_index(path, encoder=…)`"
        )
    manifests.check_fingerprints(folder, manifest, legs)


def came_with(index: Path, manifest: Manifest, settings: EncoderSettings | None) -> Path | None:
    """The folder of the encoder that came with a generation; `None` where none did, or other settings want another.

    Settings that differ only in where and how exactly they compute want the same, but for a runtime that is named.
    """
    folder = manifests.model_folder(index, manifest)
    if settings is None or not folder.is_dir():
        return None
    recorded = as_recorded(EncoderSettings.model_validate(manifest.encoder), manifest.fingerprints)
    if settings.runtime in ("auto", "openvino"):
        computing = {name: getattr(settings, name) for name in ("runtime", "device", "precision", "multivectors")}
        recorded = recorded.model_copy(update=computing)
    return folder if settings == recorded else None


def _kind(fingerprint: Fingerprint | None) -> str | None:
    """What kind of encoder a fingerprint says it is of; `None` without a fingerprint."""
    return None if fingerprint is None else dict(fingerprint.fields).get("kind", "of no kind")
