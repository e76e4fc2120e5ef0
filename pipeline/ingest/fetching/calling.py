"""The program that calls a source's Python function, and writes what it gives to standard output, an item a line.

What the function prints goes to standard error. If it fails, the last line there says where, and the exit code is
`FAILED`.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.items import item_line

FAILED = 70


def main(name: str) -> None:
    """Call the function `module:function`."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module_name, _, path = name.partition(":")
    module: ModuleType | None = None
    try:
        module = importlib.import_module(module_name)
        function: Any = module
        for part in path.split("."):
            function = getattr(function, part)
        if not callable(function):
            _fail(f"is a {type(function).__name__}, no function; name one that takes no arguments")
        items = function()
        if not isinstance(items, Iterable) or isinstance(items, str | bytes | Mapping):
            _fail(f"returned a {type(items).__name__}; return an iterable of dicts or Documents, or yield them")
        for item in items:
            output.write(item_line(item))
        output.flush()
    except BrokenPipeError:
        os._exit(FAILED)  # nobody listens any more
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code == FAILED:
            raise
        _fail(f"{_what(error)}{_where(error, module)}; mend it, nothing of it was taken")


def _fail(reason: str) -> NoReturn:
    sys.stdout.flush()
    print(f"\n{' '.join(reason.split())}", file=sys.stderr, flush=True)  # noqa: T201 - a program of its own
    raise SystemExit(FAILED)


def _what(error: BaseException) -> str:
    try:
        message = first_line(error)
    except Exception:  # its `__str__` is broken
        message = ""
    name = type(error).__name__
    return f"raised {name}" if message in ("", name) else f"raised {name}: {message}"


def _where(error: BaseException, module: ModuleType | None) -> str:
    """The last line of the function's own module, or of any, that it came through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    own = [frame for frame in frames if module is not None and frame.filename == module.__file__]
    if not frames:
        return ""
    frame = (own or frames)[-1]
    return f" at {_shown(frame.filename)}:{frame.lineno} in {frame.name}"


def _is_ours(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen") or "importlib" in Path(filename).parts


def _shown(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name)


if __name__ == "__main__":
    main(sys.argv[1])
