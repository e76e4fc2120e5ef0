"""What the command line prints about measures: tables of runs, comparisons and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pipeline.evaluate.significance import Comparison
    from pipeline.evaluate.tune import Trial


def measures_table(console: Console, measures: Mapping[str, Mapping[str, float]]) -> None:
    """Runs side by side."""
    names = list(next(iter(measures.values())))
    table = Table("", *names)
    for run, values in measures.items():
        table.add_row(run, *(f"{values[name]:.4f}" for name in names))
    console.print(table)


def trials_table(console: Console, trials: Sequence[Trial]) -> None:
    """The best setting of each fusion method; `trials` come best first."""
    table = Table("method", "weights", "value")
    shown: set[str] = set()
    for trial in trials:
        if trial.method not in shown:
            shown.add(trial.method)
            weights = ", ".join(f"{leg} {weight:g}" for leg, weight in trial.weights.items())
            table.add_row(trial.method, weights, f"{trial.value:.4f}")
    console.print(table)


def comparisons_table(console: Console, comparisons: Sequence[Comparison]) -> None:
    """Runs against another one: difference, p, and queries better, equal and worse."""
    table = Table(
        "", "measure", "difference", "p", "better / equal / worse", title=f"against {comparisons[0].against}"
    )
    for one in comparisons:
        style = "" if one.p >= 0.05 else "green" if one.difference > 0 else "red"
        counts = f"{one.better:,} / {one.equal:,} / {one.worse:,}"
        table.add_row(one.run, one.measure, f"{one.difference:+.4f}", f"{one.p:.4f}", counts, style=style)
    console.print(table)
