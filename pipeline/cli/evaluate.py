"""The command that measures: evaluate."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options, console

if TYPE_CHECKING:
    from pipeline.evaluate.runs import Evaluation
    from pipeline.query.searcher import Index


@click.command()
@click.option("--beir", "beir_path", metavar="DIR", help="Measure on a BEIR folder, through a throw-away index.")
@click.option("--chunk", "chunked", is_flag=True, help="Cut the passages of --beir as configured.")
@click.option("--queries", "queries_path", metavar="FILE", help="Queries for the built index.")
@click.option("--qrels", "qrels_path", metavar="FILE", help="Judgements: BEIR TSV or TREC qrels.")
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option("--measure", "names", multiple=True, metavar="NAME", help="Any ir-measures name. Repeatable.")
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
    as_json: bool,
) -> None:
    """Measure dense, lexical and hybrid rankings side by side (nDCG@10, R@100, MRR@10 unless told)."""
    from pipeline.evaluate.measures import DEFAULT_MEASURES
    from pipeline.evaluate.qrels import read_qrels
    from pipeline.evaluate.runs import evaluate as run_evaluation
    from pipeline.query.batch import read_queries

    folder = Path(beir_path) if beir_path else None
    if (folder is None) == (queries_path is None or qrels_path is None):
        raise click.UsageError("give --beir DIR, or --queries FILE and --qrels FILE")
    queries = read_queries(folder / "queries.jsonl" if folder else Path(str(queries_path)))
    qrels = read_qrels(folder / "qrels" / "test.tsv" if folder else Path(str(qrels_path)))
    with contextlib.ExitStack() as stack:
        if folder is not None:
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-evaluate-")))
            index = stack.enter_context(_beir_index(options, folder, temporary, chunked))
        else:
            index = stack.enter_context(options.open_index(index_path))
        result = run_evaluation(index, queries, qrels, names or DEFAULT_MEASURES, options.progress())
    _print(result, as_json)


@contextlib.contextmanager
def _beir_index(options: Options, folder: Path, temporary: Path, chunked: bool) -> Iterator[Index]:
    from pipeline.builder import build
    from pipeline.config import Config
    from pipeline.evaluate.runs import beir_config
    from pipeline.query.searcher import open_index

    base = options.config() if options.config_path.exists() else Config()
    config = beir_config(folder, temporary / "index", base, chunked)
    report = build(config, progress=options.progress())
    if report.rejections and not options.quiet:
        click.echo(f"{len(report.rejections)} documents were rejected and count as not found", err=True)
    with open_index(config.index_path, settings=config.query) as index:
        yield index


def _print(result: Evaluation, as_json: bool) -> None:
    if as_json:
        record = {
            "measures": result.measures,
            "queries": result.queries,
            "unjudged_queries": list(result.unjudged_queries),
            "missing_queries": list(result.missing_queries),
        }
        click.echo(json.dumps(record, ensure_ascii=False))
        return
    from pipeline import render

    render.measures_table(console(), result.measures)
    click.echo(f"{result.queries:,} judged queries")
    if result.unjudged_queries:
        click.echo(f"{len(result.unjudged_queries):,} queries have no judgement and were left out", err=True)
    if result.missing_queries:
        click.echo(f"{len(result.missing_queries):,} judged queries are not among the queries", err=True)
