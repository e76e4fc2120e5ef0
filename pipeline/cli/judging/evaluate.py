"""The command that measures: evaluate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options, collected, console
from pipeline.cli.judging.judged import JudgedArguments, check_names, judged_options
from pipeline.names import HYBRID, LEGS
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.evaluate.runs import Evaluation

_MODE = click.Choice([*LEGS, HYBRID])


@dataclass(frozen=True, slots=True)
class ComparedArguments:
    """What is measured, and of what: rankings by `modes` and `fusions`, beside a saved one."""

    names: tuple[str, ...]
    modes: tuple[str, ...]
    fusions: tuple[str, ...]
    baseline_path: str | None


@dataclass(frozen=True, slots=True)
class OutputArguments:
    """Where rankings and measures go."""

    runs_path: str | None
    table_path: str | None
    plot_path: str | None
    as_json: bool

    def write(self, result: Evaluation) -> None:
        """Write the files that were asked for, and print the measures."""
        from pipeline.evaluate.plot import save_plot
        from pipeline.evaluate.report import as_record, per_query_lines
        from pipeline.evaluate.run_files import save_run
        from pipeline.index.files import write_file

        if self.runs_path:
            for name in result.milliseconds:
                save_run(Path(self.runs_path) / f"{name}.trec", result.runs[name], name)
        if self.table_path:
            lines = "".join(f"{line}\n" for line in per_query_lines(result))
            write_file(Path(self.table_path), lines.encode())
        if self.plot_path:
            save_plot(Path(self.plot_path), result.values, counted(result.queries, "query"))
        if self.as_json:
            record = as_record(result, per_query=self.table_path is not None)
            click.echo(json.dumps(record, ensure_ascii=False))
        else:
            _print(result)


@click.command()
@judged_options("Measure")
@click.option("--measure", "names", multiple=True, metavar="NAME", help="Any ir-measures name. Repeatable.")
@click.option(
    "--mode", "modes", multiple=True, type=_MODE, metavar="MODE", help="dense, lexical or hybrid. Repeatable."
)
@click.option("--fusion", "fusions", multiple=True, metavar="METHOD", help="Also the hybrid so fused. Repeatable.")
@click.option("--baseline", "baseline_path", metavar="FILE", help="A saved TREC run to compare with.")
@click.option("--save-run", "runs_path", metavar="DIR", help="Save each ranking as DIR/NAME.trec.")
@click.option("--per-query", "table_path", metavar="FILE", help="Every query's measures, tab-separated.")
@click.option("--plot", "plot_path", metavar="FILE", help="A bar chart: .png or .svg.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@collected(compared=ComparedArguments, output=OutputArguments)
@click.pass_obj
def evaluate(
    options: Options, judged: JudgedArguments, compared: ComparedArguments, output: OutputArguments
) -> None:
    """Measure dense, lexical and hybrid rankings side by side (nDCG@10, R@100, MRR@10 unless told)."""
    from pipeline.evaluate.measures import DEFAULT_MEASURES
    from pipeline.evaluate.plot import check_plot
    from pipeline.evaluate.run_files import read_run
    from pipeline.evaluate.runs import evaluate as run_evaluation
    from pipeline.evaluate.runs import systems_of

    names = compared.names or DEFAULT_MEASURES
    check_names(names, compared.fusions)
    if output.plot_path:
        check_plot(Path(output.plot_path))
    baseline = read_run(Path(compared.baseline_path)) if compared.baseline_path else None
    with judged.open(options) as (index, queries, qrels):
        result = run_evaluation(
            index,
            queries,
            qrels,
            names,
            options.progress(),
            systems=systems_of(index, compared.modes, compared.fusions),
            baseline=baseline,
        )
    output.write(result)


def _print(result: Evaluation) -> None:
    from pipeline.evaluate.report import named
    from pipeline.evaluate.significance import TEST
    from pipeline.render import measure_tables

    screen = console()
    measure_tables.measures_table(screen, result.measures)
    if result.comparisons:
        measure_tables.comparisons_table(screen, result.comparisons)
        click.echo(TEST)
    click.echo(counted(result.queries, "judged query"))
    for ids, noun, what in (
        (result.unjudged_queries, "query", "without a judgement, left out"),
        (result.missing_queries, "judged query", "not among the queries"),
        (result.missing_documents, "judged document", "not in the index, counted as not found"),
        (result.unanswered_by_baseline or (), "query", "without a hit in the baseline, counted as zero there"),
    ):
        if ids:
            click.echo(f"{counted(len(ids), noun)} {what}: {named(ids)}", err=True)
