"""Loading a model without the bars and reports of the libraries that load it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """While a model is loaded, transformers draws no bars and reports errors only; afterwards all is as it was.

    Imports transformers, which the caller is about to do anyway.
    """
    messages: Any = importlib.import_module("transformers.utils.logging")
    verbosity, has_bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(verbosity)
        if has_bars:
            messages.enable_progress_bar()


def reason(error: Exception) -> str:
    """The first line of a library's error, without torch's advice to let a refused checkpoint run code."""
    text = str(error).strip()
    if "weights_only" in text:
        return "it holds more than tensors, and loading that could run code"
    return text.partition("\n")[0] or type(error).__name__
