"""The one place that imports OpenVINO."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

from pipeline.errors import MissingDependencyError
from pipeline.forking import PerProcess

_CONVERTER = "openvino.tools.ovc"


@cache
def openvino() -> Any:
    """The `openvino` module, imported without its model converter.

    Importing the converter takes longer than all the rest (0.13 of 0.19 s), and it sends a usage event over the
    network each time. Nothing here converts, so the import is refused while `openvino` loads; OpenVINO expects that
    and carries on. `openvino.convert_model` still works for others in the process: it imports the converter late.
    Raises `MissingDependencyError`.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    hidden = {} if _CONVERTER in sys.modules else {_CONVERTER: None}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        module: Any = importlib.import_module("openvino")
    except ImportError as error:
        raise MissingDependencyError(f"openvino cannot be imported ({error}); pip install openvino") from error
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
    if not hasattr(module, "convert_model"):
        module.convert_model = _convert_model
    return module


_core: PerProcess[Any] = PerProcess(lambda: openvino().Core())


def core() -> Any:
    """The one `openvino.Core` of this process.

    Its CPU plugin lends the thread a stack for signal handlers and takes it back. Where two are not released in the
    reverse order, the thread keeps one that is gone, and the next signal (Ctrl-C, say) ends the process.
    """
    return _core.get()


def _convert_model(*args: Any, **kwargs: Any) -> Any:
    return importlib.import_module(_CONVERTER).convert_model(*args, **kwargs)
