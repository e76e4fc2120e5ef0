"""The command that searches by example: similar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from pipeline.cli.common import Generation, Options, collected, console
from pipeline.cli.groups import ReaderArguments, reader_options
from pipeline.cli.searching.arguments import wanted_boosts
from pipeline.names import MODES

if TYPE_CHECKING:
    from pipeline.query.similar import Examples


@dataclass(frozen=True, slots=True)
class ExampleArguments:
    """What hits should be like, and unlike."""

    doc_ids: tuple[str, ...]
    files: tuple[str, ...]
    texts: tuple[str, ...]
    unlike: tuple[str, ...]
    unlike_texts: tuple[str, ...]

    def examples(self, options: Options) -> Examples:
        """Return them, files read."""
        from pipeline.query.similar import Examples

        if not (self.doc_ids or self.files or self.texts):
            raise click.UsageError("give a DOC_ID, --file FILE or --text TEXT that hits should be like")
        read = self._passages(options) if self.files else []
        return Examples(
            documents=self.doc_ids,
            texts=(*self.texts, *read),
            unlike_documents=self.unlike,
            unlike_texts=self.unlike_texts,
        )

    def _passages(self, options: Options) -> list[str]:
        from pipeline.job.passages import passages_of  # a search without files needs no parser

        config = options.config_or_defaults()
        return [text for name in self.files for text in passages_of(Path(name), config, options.chunker)]

    @property
    def title(self) -> str:
        """What the hits are like, in one line."""
        like = [*self.doc_ids, *self.files, *(f"“{text}”" for text in self.texts)]
        unlike = [*self.unlike, *(f"“{text}”" for text in self.unlike_texts)]
        return f"like {', '.join(like)}" + (f"; unlike {', '.join(unlike)}" if unlike else "")


@dataclass(frozen=True, slots=True)
class NarrowingArguments:
    """How many hits, of which legs and documents, and what is shown of them."""

    k: int | None
    mode: str | None
    where: str | None
    chunks: bool
    context: int
    boosts: list[str] | None
    explain: bool
    show: tuple[str, ...]
    as_json: bool


@click.command()
@click.argument("doc_ids", nargs=-1, metavar="[DOC_ID]...")
@click.option(
    "--file", "files", multiple=True, metavar="FILE", help="A file of any format that is read. Repeatable."
)
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A passage. Repeatable.")
@click.option("--unlike", multiple=True, metavar="DOC_ID", help="What hits should not be like. Repeatable.")
@click.option("--unlike-text", "unlike_texts", multiple=True, metavar="TEXT", help="The same as a passage.")
@click.option("-k", type=int, help="Number of hits. Default: query.k of the configuration (10).")
@click.option("--mode", type=click.Choice(MODES), help="Which legs rank. Default: hybrid.")
@click.option("--filter", "where", metavar="SQL", help="Condition on metadata, such as \"lang = 'ko'\".")
@click.option("--chunks", is_flag=True, help="All chunks, not only the best one of each document.")
@click.option("--context", type=int, default=0, metavar="N", help="Also show N chunks before and after each hit.")
@click.option(
    "--boost", "boosts", multiple=True, callback=wanted_boosts, metavar="B", help="Multiply scores. Repeatable."
)
@click.option("--explain", is_flag=True, help="Show how each score came about.")
@click.option("--index", "index_path", metavar="DIR", help="Index folder. Default: `index` of the configuration.")
@click.option(
    "--generation", type=Generation(), metavar="N", help="An earlier one, or `staged`. Default: the live one."
)
@click.option("--show", multiple=True, metavar="FIELD", help="A metadata field to show as a column. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@collected(arguments=ExampleArguments, narrowing=NarrowingArguments)
@reader_options
@click.pass_obj
def similar(
    options: Options,
    arguments: ExampleArguments,
    narrowing: NarrowingArguments,
    index_path: str | None,
    generation: int | Literal["staged"] | None,
    reader: ReaderArguments,
) -> None:
    """Find documents that are like those with DOC_ID, like files or like texts."""
    from pipeline.render import hit_tables

    examples = arguments.examples(options)
    with options.open_index(index_path, generation, reader.chosen) as index:
        reader.warn(options, index)
        hits = index.similar(
            examples,
            narrowing.k,
            narrowing.mode,
            where=narrowing.where,
            collapse=not narrowing.chunks,
            context=narrowing.context,
            boosts=narrowing.boosts,
            explain=narrowing.explain,
        )
        if narrowing.as_json:
            mode = narrowing.mode or index.settings.mode
            click.echo(hit_tables.similar_as_json(examples, index, mode, hits))
        else:
            hit_tables.hits_table(console(), "", index, hits, narrowing.show, title=arguments.title)
