"""Commands that write an index: init, ingest, encode, build."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.common import EXIT_NOTHING_TO_DO, EXIT_OK, EXIT_REFUSED, EXIT_REJECTS, Options, collected
from pipeline.job.options import BuildOptions, IngestOptions
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.job.build_report import BuildReport
    from pipeline.records import Rejection

_ALLOW_DELETES = click.option(
    "--allow-deletes", is_flag=True, help="Delete even more documents than `max_delete_ratio` allows."
)
_REHASH = click.option(
    "--rehash", is_flag=True, help="Read every source file, even if its size and times are those of the last time."
)


def _readable(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise click.BadParameter("is not valid UTF-8, and could not be read again", ctx, param)
    return value


_NOTE = click.option(
    "--note", default="", metavar="TEXT", callback=_readable, help="Kept in the generation, for whoever asks later."
)


@click.command()
@click.argument("folder", default=".", metavar="[DIR]")
def init(folder: str) -> None:
    """Write a commented starter configuration into DIR (default: here)."""
    from pipeline.config.starter import write_starter

    path = write_starter(Path(folder))
    click.echo(f"wrote {path}; put documents into {path.parent / 'documents'} and run `pipeline build`")


@click.command()
@click.option("--full", is_flag=True, help="Take nothing over from the live generation: encode everything.")
@click.option("--strict", is_flag=True, help="Refuse the whole run if any document is rejected.")
@_REHASH
@_ALLOW_DELETES
@click.pass_obj
@collected(wanted=IngestOptions)
def ingest(options: Options, wanted: IngestOptions) -> None:
    """Read the sources and stage the chunks of new and changed documents."""
    from pipeline.job import build as builder
    from pipeline.render import build_lines

    report = builder.ingest(
        options.config(),
        options=wanted,
        encoder=options.encoder,
        chunker=options.chunker,
        progress=options.progress(),
    )
    staged = report.staged
    changes = {name: getattr(staged.changes, name) for name in ("added", "changed", "deleted", "unchanged")}
    line = build_lines.staged_line(staged)
    options.say(line, event="staged", chunks=staged.chunks, read=staged.read, **changes)
    _tell_rejections(options, report.rejections, report.rejects_file)
    sys.exit(EXIT_REJECTS if report.rejections else EXIT_NOTHING_TO_DO if report.staged.nothing_to_do else EXIT_OK)


@click.command()
@click.option("--plan", is_flag=True, help="Only write down which shards are missing, for workers to encode.")
@click.option("--shard", metavar="I/N", help="Encode share I (from 0) of N of what is planned; publish nothing.")
@click.option(
    "--commit", is_flag=True, help="Encode nothing: publish what workers encoded, or name what is missing."
)
@_ALLOW_DELETES
@_NOTE
@click.pass_obj
def encode(options: Options, plan: bool, shard: str | None, commit: bool, allow_deletes: bool, note: str) -> None:
    """Encode what `ingest` staged and publish it as a new generation."""
    if plan + commit + (shard is not None) > 1:
        raise click.UsageError("give one of --plan, --shard and --commit: each is a step of its own")
    if (plan or shard is not None) and (allow_deletes or note):
        raise click.UsageError("--allow-deletes and --note belong to the step that publishes: --commit")
    if plan:
        _plan_shards(options)
    elif shard is not None:
        _encode_share(options, shard)
    else:
        from pipeline.job import build as builder

        report = builder.encode(
            options.config(),
            allow_deletes=allow_deletes,
            note=note,
            commit_only=commit,
            encoder=options.encoder,
            chunker=options.chunker,
            progress=options.progress(),
        )
        _finish(options, report)


def _plan_shards(options: Options) -> None:
    from pipeline.job.cluster import shares

    plan = shares.plan_shards(
        options.config(), encoder=options.encoder, chunker=options.chunker, progress=options.progress()
    )
    shards, chunks = len(plan.shards), plan.chunks
    then = "`pipeline encode --shard I/N` on each worker" if shards else "`pipeline encode --commit`"
    line = f"planned {counted(shards, 'shard')} with {counted(chunks, 'chunk')} to encode; next: {then}"
    options.say(line, event="planned", shards=shards, chunks=chunks)


def _encode_share(options: Options, shard: str) -> None:
    from pipeline.job.cluster import shares

    share = shares.Share.parsed(shard)
    done = shares.encode_share(options.config(), share, encoder=options.encoder, progress=options.progress())
    options.say(
        f"share {shard}: encoded {counted(done.chunks, 'chunk')} in {counted(done.shards, 'shard')}; "
        f"{counted(done.found, 'shard')} were there",
        event="share",
        share=shard,
        **dataclasses.asdict(done),
    )


@click.command()
@click.option("--full", is_flag=True, help="Take nothing over from the live generation: encode everything.")
@click.option("--strict", is_flag=True, help="Refuse the whole build if any document is rejected.")
@_REHASH
@_ALLOW_DELETES
@click.option(
    "--cluster",
    default="",
    metavar="ray[://HOST:PORT]",
    help="Let the workers of a Ray cluster read, cut and encode (extra `ray`).",
)
@click.option("--dry-run", is_flag=True, help="Say what would change, how large and how long; write nothing.")
@_NOTE
@click.pass_obj
@collected(wanted=BuildOptions)
def build(options: Options, wanted: BuildOptions, dry_run: bool) -> None:
    """Bring the index up to date with its sources: ingest, encode, publish."""
    from pipeline.job import build as builder

    if dry_run:
        from pipeline.render import build_lines

        plan = builder.plan(
            options.config(),
            full=wanted.full,
            rehash=wanted.rehash,
            encoder=options.encoder,
            chunker=options.chunker,
            progress=options.progress(),
        )
        click.echo("\n".join(build_lines.plan_lines(plan)))
        _tell_rejections(options, plan.rejections, None)
        if plan.refusal and not wanted.allow_deletes:
            options.warn(f"would be refused: {plan.refusal}", event="refusal")
            sys.exit(EXIT_REFUSED)
        sys.exit(EXIT_REJECTS if plan.rejections else EXIT_OK)
    report = builder.build(
        options.config(),
        options=wanted,
        encoder=options.encoder,
        chunker=options.chunker,
        progress=options.progress(),
    )
    _finish(options, report)


@click.command()
@click.option("--force", is_flag=True, help="Publish it whatever the gate says.")
@click.pass_obj
def publish(options: Options, force: bool) -> None:
    """Publish the staged generation that the gate refused: if it passes now, or with --force."""
    from pipeline.job import build as builder

    manifest = builder.publish(options.config(), force=force, encoder=options.encoder, progress=options.progress())
    options.say(
        f"published generation {manifest.generation}: {counted(manifest.documents, 'document')}, "
        f"{counted(manifest.chunks, 'chunk')}",
        event="published",
        generation=manifest.generation,
    )


def _finish(options: Options, report: BuildReport) -> None:
    from pipeline.render import build_lines

    code = EXIT_REJECTS if report.rejections else EXIT_OK if report.published else EXIT_NOTHING_TO_DO
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(report):
        if field.name == "changes":
            fields |= dataclasses.asdict(report.changes)
        elif field.name not in ("rejections", "rejects_file"):
            fields[field.name] = getattr(report, field.name)
    rejected = len(report.rejections)
    recall = report.lexical_recall
    fields["lexical_recall"] = recall and dataclasses.asdict(recall)
    shown = build_lines.recall_lines(recall) if report.published else []
    line = "\n".join([build_lines.report_line(report), *shown, *build_lines.moved_lines(report.moved)])
    options.say(line, event="built", **fields, rejected=rejected, exit_code=code)
    _tell_rejections(options, report.rejections, report.rejects_file)
    sys.exit(code)


def _tell_rejections(options: Options, rejections: Sequence[Rejection], rejects_file: Path | None) -> None:
    from pipeline.render import build_lines

    if options.log_json:
        for one in rejections:
            options.warn(f"rejected {one.source}", event="rejected", source=one.source, reason=one.reason)
    else:
        for line in build_lines.rejection_lines(rejections, rejects_file):
            options.warn(line)
