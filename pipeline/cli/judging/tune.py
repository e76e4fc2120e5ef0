"""The command that finds a fusion with labels: tune."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.common import EXIT_NOTHING_TO_DO, Options, console
from pipeline.cli.judging.judged import JudgedArguments, check_names, judged_options
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.evaluate.tune import Tuning


@click.command()
@judged_options("Tune")
@click.option("--measure", default="nDCG@10", metavar="NAME", help="What to raise. Default: nDCG@10.")
@click.option("--held-out", default=0.5, metavar="SHARE", help="Part of the queries to report on. Default: 0.5.")
@click.option("--write", is_flag=True, help="Put the setting into the configuration if it is better.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def tune(
    options: Options, judged: JudgedArguments, measure: str, held_out: float, write: bool, as_json: bool
) -> None:
    """Find fusion method and weights on some of the judged queries, and report on the others."""
    from pipeline.evaluate.setting import write_setting
    from pipeline.evaluate.tune import SIGNIFICANT
    from pipeline.evaluate.tune import tune as run_tuning

    check_names([measure])
    if write:
        options.config()  # refuse before an hour of work, not after it
    with judged.open(options) as (index, queries, qrels):
        result = run_tuning(index, queries, qrels, measure, held_out, options.progress())
    if as_json:
        click.echo(json.dumps(_record(result), ensure_ascii=False))
    else:
        _print(result)
    if write and result.better:
        write_setting(options.config_path, result.best)
        mode = options.config().query.mode
        used = "queries use it" if mode == "hybrid" else f"query.mode is {mode}: queries with --mode hybrid use it"
        click.echo(f"{options.config_path}: query.fusion is changed; {used} from now on", err=True)
    elif not result.better:
        why = "not better than the current setting on the held-out queries"
        if result.gain > 0:
            why = f"within noise on the held-out queries (p {result.p:.4f}, not below {SIGNIFICANT:g})"
        click.echo(f"{why}: keep the current setting", err=True)
        if write:
            raise SystemExit(EXIT_NOTHING_TO_DO)


def _record(result: Tuning) -> dict[str, Any]:
    return {
        "measure": result.measure,
        "tuning_queries": result.tuning_queries,
        "held_out_queries": result.held_out.queries,
        "best": dataclasses.asdict(result.best),
        "better": result.better,
        "measures": result.held_out.measures,
        "comparisons": [dataclasses.asdict(one) for one in result.comparisons],
        "sweep": [dataclasses.asdict(trial) for trial in result.sweep],
    }


def _print(result: Tuning) -> None:
    from pipeline.evaluate.setting import setting_lines
    from pipeline.evaluate.significance import TEST
    from pipeline.render import measure_tables

    screen = console()
    click.echo(
        f"{len(result.sweep)} settings on {counted(result.tuning_queries, 'query')}, {result.measure}; "
        "the best of each:"
    )
    measure_tables.trials_table(screen, result.sweep)
    click.echo(f"on {counted(result.held_out.queries, 'held-out query')}:")
    measure_tables.measures_table(screen, result.held_out.measures)
    for one in result.comparisons:
        click.echo(
            f"tuned - {one.against}: {one.difference:+.4f}, p {one.p:.4f}, "
            f"{one.better} better, {one.equal} equal, {one.worse} worse"
        )
    click.echo(TEST)
    click.echo("\n" + "\n".join(setting_lines(result.best)))
