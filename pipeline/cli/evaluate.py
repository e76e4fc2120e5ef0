"""The command that measures: evaluate."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options, console
from pipeline.errors import EvaluationError, QueryError
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.evaluate.runs import Evaluation
    from pipeline.query.files.batch import Query
    from pipeline.query.searcher import Index

_MODE = click.Choice(["dense", "lexical", "hybrid"])


@click.command()
@click.option("--beir", "beir_path", metavar="DIR", help="Measure on a BEIR folder, through a throw-away index.")
@click.option("--chunk", "chunked", is_flag=True, help="Cut the passages of --beir as configured.")
@click.option("--queries", "queries_path", metavar="FILE", help="Queries for the built index.")
@click.option("--qrels", "qrels_path", metavar="FILE", help="Judgements: BEIR TSV or TREC qrels.")
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
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
@click.pass_obj
def evaluate(
    options: Options,
    beir_path: str | None,
    chunked: bool,
    queries_path: str | None,
    qrels_path: str | None,
    index_path: str | None,
    names: tuple[str, ...],
    modes: tuple[str, ...],
    fusions: tuple[str, ...],
    baseline_path: str | None,
    runs_path: str | None,
    table_path: str | None,
    plot_path: str | None,
    as_json: bool,
) -> None:
    """Measure dense, lexical and hybrid rankings side by side (nDCG@10, R@100, MRR@10 unless told)."""
    from pipeline.evaluate.measures import DEFAULT_MEASURES
    from pipeline.evaluate.plot import check_plot, save_plot
    from pipeline.evaluate.report import as_record, per_query_lines
    from pipeline.evaluate.run_files import read_run, save_run
    from pipeline.evaluate.runs import evaluate as run_evaluation
    from pipeline.evaluate.runs import systems_of
    from pipeline.index.files import write_file

    check_options(names or DEFAULT_MEASURES, fusions)
    if plot_path:
        check_plot(Path(plot_path))
    baseline = read_run(Path(baseline_path)) if baseline_path else None
    with judged_index(options, beir_path, chunked, queries_path, qrels_path, index_path) as (index, queries, qrels):
        result = run_evaluation(
            index,
            queries,
            qrels,
            names or DEFAULT_MEASURES,
            options.progress(),
            systems=systems_of(index, modes, fusions),
            baseline=baseline,
        )
    if runs_path:
        for name in result.milliseconds:
            save_run(Path(runs_path) / f"{name}.trec", result.runs[name], name)
    if table_path:
        write_file(Path(table_path), "".join(f"{line}\n" for line in per_query_lines(result)).encode())
    if plot_path:
        save_plot(Path(plot_path), result.values, counted(result.queries, "query"))
    if as_json:
        click.echo(json.dumps(as_record(result, per_query=table_path is not None), ensure_ascii=False))
    else:
        _print(result)


def check_options(names: Sequence[str], fusions: Sequence[str] = ()) -> None:
    """Refuse measures and fusions that are not known, before an index is built for them."""
    from pipeline.evaluate.measures import check_measures
    from pipeline.evaluate.runs import check_fusions

    try:
        check_measures(names)
        check_fusions(fusions)
    except (EvaluationError, QueryError) as error:
        raise click.UsageError(str(error)) from None


@contextlib.contextmanager
def judged_index(
    options: Options,
    beir_path: str | None,
    chunked: bool,
    queries_path: str | None,
    qrels_path: str | None,
    index_path: str | None,
) -> Iterator[tuple[Index, list[Query], dict[str, dict[str, int]]]]:
    """An open index with judged queries: a throw-away one over a BEIR folder, or a built one."""
    from pipeline.evaluate.qrels import read_qrels
    from pipeline.query.files.batch import read_queries

    folder = Path(beir_path) if beir_path else None
    if folder is None and (queries_path is None or qrels_path is None):
        raise click.UsageError("give --beir DIR, or --queries FILE and --qrels FILE")
    if folder is None and chunked:
        raise click.UsageError("--chunk is for --beir: a built index is cut as it was configured")
    if folder is not None and (queries_path or qrels_path or index_path):
        raise click.UsageError(
            "--beir brings its own queries, qrels and index: leave --queries, --qrels, --index out"
        )
    queries = read_queries(folder / "queries.jsonl" if folder else Path(str(queries_path)))
    qrels = read_qrels(folder / "qrels" / "test.tsv" if folder else Path(str(qrels_path)))
    with contextlib.ExitStack() as stack:
        if folder is not None:
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-evaluate-")))
            yield stack.enter_context(_beir_index(options, folder, temporary, chunked)), queries, qrels
        else:
            yield stack.enter_context(options.open_index(index_path)), queries, qrels


@contextlib.contextmanager
def _beir_index(options: Options, folder: Path, temporary: Path, chunked: bool) -> Iterator[Index]:
    from pipeline.evaluate.runs import beir_config
    from pipeline.job.build import build
    from pipeline.query.searcher import open_index

    config = beir_config(folder, temporary / "index", options.config_or_defaults(), chunked)
    report = build(
        config, encoder=options.encoder, chunker=options.chunker if chunked else None, progress=options.progress()
    )
    if report.rejections and not options.quiet:
        rejected = counted(len(report.rejections), "document")
        click.echo(f"{rejected} rejected, counted as not found", err=True)
    with open_index(config.index_path, encoder=options.encoder, settings=config.query) as index:
        yield index


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
