"""A bar chart of a comparison, by matplotlib (the extra `plot`), imported only when needed."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import EvaluationError, MissingDependencyError
from pipeline.index import files

INSTALL_PLOT = "pip install 'hybrid-pipeline[plot]'"
FORMATS = (".png", ".svg")
Z_95 = 1.96
"""Half the width of a 95% interval, in standard errors."""

Values = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By run, measure and query id."""


def check_plot(path: Path) -> None:
    """Before anything is measured. Raises `EvaluationError` for another format, `MissingDependencyError`."""
    if path.suffix.lower() not in FORMATS:
        raise EvaluationError(f"{path}: a plot is {' or '.join(FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(f"a plot needs the package matplotlib; {INSTALL_PLOT}")


def save_plot(path: Path, values: Values, title: str = "") -> None:
    """One group of bars a measure, one bar a run, with the mean and its 95% interval over the queries.

    The same values give the same file. Raises what `check_plot` raises.
    """
    check_plot(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    runs, measures = list(values), list(next(iter(values.values())))
    width = 0.8 / len(runs)
    with mpl.rc_context({"svg.hashsalt": "hybrid-pipeline", "svg.fonttype": "none"}):
        figure = Figure(figsize=(max(5.0, 1.2 + 0.55 * len(runs) * len(measures)), 4.0), layout="constrained")
        axes: Any = figure.subplots()
        for number, run in enumerate(runs):
            summaries = [_summary(list(values[run][measure].values())) for measure in measures]
            places = [column + (number - (len(runs) - 1) / 2) * width for column in range(len(measures))]
            means = [mean for mean, _ in summaries]
            axes.bar(places, means, width * 0.95, yerr=[error for _, error in summaries], label=run, capsize=2)
            for place, (mean, error) in zip(places, summaries, strict=True):
                axes.annotate(
                    f"{mean:.3f}",
                    (place, mean + error),
                    (0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=7,
                )
        axes.set_xticks(range(len(measures)), measures)
        axes.set_ylabel("mean over queries, with 95% interval")
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.1)
        figure.legend(loc="outside right upper")
        buffer = io.BytesIO()
        kind = path.suffix.lower().removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    files.write_file(path, buffer.getvalue())


def _summary(values: list[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95% interval (normal approximation; 0 for a single query)."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return mean, 0.0
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, Z_95 * math.sqrt(variance / count)
