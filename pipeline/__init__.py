"""Documents in, a hybrid (dense + lexical) index on disk out, and searches on it, with no server.

`build(config)` brings an index up to date with its sources; `open_index(path)` opens it for searching.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.config import Config, load_config, parse_config
    from pipeline.job.build import BuildReport, build
    from pipeline.query.request import SearchRequest
    from pipeline.query.searcher import Index, open_index
    from pipeline.records import Hit, LegScore

__all__ = [
    "BuildReport",
    "Config",
    "Hit",
    "Index",
    "LegScore",
    "PipelineError",
    "SearchRequest",
    "build",
    "load_config",
    "open_index",
    "parse_config",
]

_HOMES = {
    "BuildReport": "pipeline.job.build",
    "Config": "pipeline.config",
    "Hit": "pipeline.records",
    "Index": "pipeline.query.searcher",
    "LegScore": "pipeline.records",
    "SearchRequest": "pipeline.query.request",
    "build": "pipeline.job.build",
    "load_config": "pipeline.config",
    "open_index": "pipeline.query.searcher",
    "parse_config": "pipeline.config",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import pipeline` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    import importlib

    from pipeline.startup.installed import told_what_to_install

    with told_what_to_install():
        value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
