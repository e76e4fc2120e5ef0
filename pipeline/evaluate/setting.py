"""A tuned fusion as configuration: lines to paste, or written into the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pipeline.config import load_config, parse_config
from pipeline.config.edit import edited
from pipeline.errors import ConfigError
from pipeline.evaluate.tune import Trial
from pipeline.index.files import write_file


def setting_lines(trial: Trial) -> list[str]:
    """What to put into config.yaml."""
    weights = ", ".join(f"{leg}: {weight:g}" for leg, weight in trial.weights.items())
    return ["query:", "  fusion:", f"    method: {trial.method}", f"    weights: {{{weights}}}"]


def write_setting(path: Path, trial: Trial) -> None:
    """Put it into a configuration file, all or nothing; comments and the file's mode stay.

    A preset is set to null, as it would override the method. Raises `ConfigError` for a file that is not valid, or
    that cannot be changed without changing something else.
    """
    fusion = load_config(path).query.fusion
    target = path.resolve()  # a link stays a link
    changes: dict[tuple[str, ...], Any] = {("query", "fusion", "method"): trial.method}
    changes |= {("query", "fusion", "weights", leg): weight for leg, weight in trial.weights.items()}
    if fusion.preset is not None:
        changes["query", "fusion", "preset"] = None
    try:
        fresh = edited(target.read_bytes().decode("utf-8"), changes, str(path))
        mode = target.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    parse_config(yaml.safe_load(fresh), base=path.parent, origin=str(path))
    write_file(target, fresh.encode())
    target.chmod(mode)
