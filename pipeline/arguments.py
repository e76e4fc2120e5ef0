"""Checks of the Python API's arguments. What passes, NumPy's scalars too, comes back as Python's own type.

For what does not pass they raise `wrong`, with one line that names the argument, what was given and what is meant.
"""

from __future__ import annotations

import errno
import inspect
import os
import reprlib
from collections.abc import Callable
from numbers import Integral
from pathlib import Path

from pipeline.errors import ConfigError, PipelineError
from pipeline.progress import Progress, ProgressFactory

_LONGEST = 80
_HUGE = 1 << 63
_NUMPY_FLAGS = (("numpy", "bool"), ("numpy", "bool_"))

_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = _shortened.maxlong = _LONGEST


def shown(value: object) -> str:
    """A value as an error quotes it: its `repr` on one line, with gaps where it is long."""
    try:
        return " ".join(_shortened.repr(value).split())
    except ValueError:  # Python writes out no number of more than 4300 digits
        return f"a huge {type(value).__name__}"


def flag(name: str, value: object, wrong: type[PipelineError] = ConfigError) -> bool:
    """True or False; a text such as "no" would count as true."""
    if isinstance(value, bool) or (type(value).__module__, type(value).__name__) in _NUMPY_FLAGS:
        return bool(value)
    raise wrong(f"{name}={shown(value)}: give True or False")


def whole_number(name: str, value: object, meant: str, wrong: type[PipelineError] = ConfigError) -> int:
    """A whole number of at most 64 bits, which True is not. `meant`: what to give."""
    if isinstance(value, int | Integral) and not isinstance(value, bool) and -_HUGE <= int(value) < _HUGE:
        return int(value)
    raise wrong(f"{name}={shown(value)}: {meant}")


def text(name: str, value: object) -> str:
    """A text that a file can hold."""
    if not isinstance(value, str):
        raise ConfigError(f"{name}={shown(value)}: give a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{name}={shown(value)}: has half a character (a surrogate), remove it") from None
    return value


def file_path(name: str, value: object) -> Path:
    """A path that the system accepts, whether or not something is there."""
    try:
        plain = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        plain = None
    if isinstance(plain, bytes):
        raise ConfigError(f"{name}={shown(value)}: give a str or a Path, such as os.fsdecode makes of bytes")
    if not isinstance(plain, str):
        raise ConfigError(f"{name}={shown(value)}: give a path, as str or Path")
    path = Path(plain)
    try:
        path.stat()
    except ValueError:
        raise ConfigError(f"{name}={shown(value)}: no file can have this name") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError(f"{name}={shown(value)}: too long for the name of a file") from None
    return path


def reporter(progress: object) -> ProgressFactory:
    """Return `progress`, if it can be called as one, with a check of the bars that it returns."""
    if not callable(progress) or not _takes(progress, "", None, ""):
        raise ConfigError(
            f"progress={shown(progress)}: give a callable (description, total, unit) that returns a progress bar, "
            "or leave it out"
        )

    def start(description: str, total: int | None, unit: str) -> Progress:
        step: Progress = progress(description, total, unit)
        if not all(hasattr(step, name) for name in ("__enter__", "__exit__", "update")):
            raise ConfigError(
                f"progress={shown(progress)}: returned {shown(step)}; a progress bar has `update(n)` and works in "
                "a `with` statement, as tqdm's do"
            )
        return step

    return start


def _takes(function: Callable[..., object], *arguments: object) -> bool:
    """Whether a function can be called like this; `True` where it does not say."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
