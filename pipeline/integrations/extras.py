"""What to install for an adapter whose framework is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import MissingDependencyError


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn an import that fails into one line that names the extra. Raises `MissingDependencyError`."""
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            f"pipeline.integrations needs {error.name or 'a package'} here ({error}); "
            f"pip install 'hybrid-pipeline[{extra}]'"
        ) from error
