"""A machine that only searches: an environment with what an export's requirements name, linked from this one.

The same as `pip install --no-deps -r requirements.txt` into an empty environment, without a registry.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]


def required(requirements: str) -> dict[str, str]:
    """Versions by package of a requirements.txt."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", requirements, re.MULTILINE))


def top_level(name: str) -> dict[str, Path]:
    """What an installed package puts into site-packages: entries by name, with their paths."""
    files = metadata.files(name)
    assert files is not None
    parts = {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}
    place = Path(str(metadata.distribution(name).locate_file("")))
    return {part: place / part for part in parts}


def modules_of(name: str) -> set[str]:
    """The modules that a package brings."""
    found = {entry.partition(".")[0] for entry in top_level(name) if not entry.endswith((".dist-info", ".libs"))}
    return {module for module in found if module.isidentifier()}


def make(folder: Path, requirements: str) -> Path:
    """The interpreter of a new environment with these packages and this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    for name, version in required(requirements).items():
        assert metadata.version(name) == version
        for entry, path in top_level(name).items():
            (packages / entry).symlink_to(path)
    (packages / "pipeline").symlink_to(ROOT / "pipeline")
    record = packages / "hybrid_pipeline-0.1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: hybrid-pipeline\nVersion: 0.1.0\n")
    return folder / "bin/python"
