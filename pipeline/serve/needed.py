"""What the service needs beside the package."""

from __future__ import annotations

import importlib.util

from pipeline.errors import MissingDependencyError

_PACKAGES = ("starlette", "uvicorn", "prometheus_client", "jinja2", "markdown_it")


def check_installed() -> None:
    """Raise `MissingDependencyError` that says what to install, unless all is there."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"the service needs {', '.join(missing)}: pip install 'hybrid-pipeline[serve]'"
        )
