"""The options that name judged queries and the index that answers them; `evaluate` and `tune` have them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

from pipeline.cli.common import Options, collected
from pipeline.errors import EvaluationError, QueryError
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.config.sources import Code
    from pipeline.query.files.batch import Query
    from pipeline.query.searcher import Index


@dataclass(frozen=True, slots=True)
class JudgedArguments:
    """Judged queries with the index that answers them: a BEIR folder, or files and a built index."""

    beir_path: str | None
    chunked: bool
    queries_path: str | None
    qrels_path: str | None
    index_path: str | None
    log_path: str | None = None
    code: str | None = None

    @contextlib.contextmanager
    def open(self, options: Options) -> Iterator[tuple[Index, list[Query], dict[str, dict[str, int]]]]:
        """Open a throw-away index over the BEIR folder, or the built one, with its queries and their judgements."""
        from pipeline.evaluate.qrels import read_qrels
        from pipeline.query.files.batch import read_queries

        folder = Path(self.beir_path) if self.beir_path else None
        code = self._known_code(folder)
        if self.log_path is not None:
            if folder is not None or self.queries_path or self.qrels_path:
                raise click.UsageError("--log brings its own queries and judgements: leave the others out")
            with self._logged(options, Path(self.log_path)) as found:
                yield found
            return
        if folder is None and (self.queries_path is None or self.qrels_path is None):
            raise click.UsageError("give --beir DIR, or --queries FILE and --qrels FILE")
        if folder is None and self.chunked:
            raise click.UsageError("--chunk is for --beir: a built index is cut as it was configured")
        if folder is not None and (self.queries_path or self.qrels_path or self.index_path):
            raise click.UsageError(
                "--beir brings its own queries, qrels and index: leave --queries, --qrels, --index out"
            )
        from pipeline.query.access import ALL_GROUPS

        queries = read_queries(folder / "queries.jsonl" if folder else Path(str(self.queries_path)))
        qrels = read_qrels(folder / "qrels" / "test.tsv" if folder else Path(str(self.qrels_path)))
        with contextlib.ExitStack() as stack:
            if folder is not None:
                temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-evaluate-")))
                yield (
                    stack.enter_context(_beir_index(options, folder, temporary, self.chunked, code)),
                    queries,
                    qrels,
                )
            else:
                yield stack.enter_context(options.open_index(self.index_path, groups=ALL_GROUPS)), queries, qrels

    def _known_code(self, folder: Path | None) -> Code | None:
        from pipeline.config.sources import Code

        if self.code is None:
            return None
        if folder is None:
            raise click.UsageError("--code is for --beir: a built index has its texts as they were read")
        for code in get_args(Code):
            if code == self.code:
                return cast("Code", code)
        raise click.UsageError(f"--code {self.code}: not known; it is one of {', '.join(get_args(Code))}")

    @contextlib.contextmanager
    def _logged(
        self, options: Options, path: Path
    ) -> Iterator[tuple[Index, list[Query], dict[str, dict[str, int]]]]:
        from pipeline.query.access import ALL_GROUPS
        from pipeline.query.log.reader import logged_judgements

        queries, qrels = logged_judgements(path)
        with options.open_index(self.index_path, groups=ALL_GROUPS) as index:
            yield index, queries, qrels


def judged_options(doing: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a decorator that gives a command these options, and hands them on as `judged`. `doing`: what it does."""
    options = (
        click.option(
            "--beir", "beir_path", metavar="DIR", help=f"{doing} on a BEIR folder, through a throw-away index."
        ),
        click.option("--chunk", "chunked", is_flag=True, help="Cut the passages of --beir as configured."),
        click.option(
            "--code",
            metavar="LANGUAGE",
            help="How the passages of --beir are read, as `code` of a source. Default: as the configured sources.",
        ),
        click.option("--queries", "queries_path", metavar="FILE", help="Queries for the built index."),
        click.option("--qrels", "qrels_path", metavar="FILE", help="Judgements: BEIR TSV or TREC qrels."),
        click.option("--log", "log_path", metavar="PATH", help="A query log whose lines were clicked or rated."),
        click.option(
            "--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration."
        ),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        command = collected(judged=JudgedArguments)(command)
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def check_names(names: Sequence[str], fusions: Sequence[str] = ()) -> None:
    """Refuse measures and fusions that are not known, before an index is built for them."""
    from pipeline.evaluate.measures import check_measures
    from pipeline.evaluate.runs import check_fusions

    try:
        check_measures(names)
        check_fusions(fusions)
    except (EvaluationError, QueryError) as error:
        raise click.UsageError(str(error)) from None


@contextlib.contextmanager
def _beir_index(
    options: Options, folder: Path, temporary: Path, chunked: bool, code: Code | None
) -> Iterator[Index]:
    from pipeline.evaluate.runs import beir_config
    from pipeline.job.build import build
    from pipeline.query.access import ALL_GROUPS
    from pipeline.query.searcher import open_index

    config = beir_config(folder, temporary / "index", options.config_or_defaults(), chunked, code)
    chunker = options.chunker if chunked else None
    report = build(config, encoder=options.encoder, chunker=chunker, progress=options.progress())
    if report.rejections and not options.quiet:
        rejected = counted(len(report.rejections), "document")
        click.echo(f"{rejected} rejected, counted as not found", err=True)
    with open_index(config.index_path, encoder=options.encoder, settings=config.query, groups=ALL_GROUPS) as index:
        yield index
