"""The tables that `pipeline status` shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline import names
from pipeline.index.manifest import Manifest
from pipeline.render.build_lines import generation_record, size
from pipeline.wording import counted, printable


def status_record(
    index: str, manifest: Manifest, generations: Sequence[int], staged: bool, refused: Manifest | None = None
) -> dict[str, Any]:
    """Return what `pipeline status` knows, as plain data. `refused`: the generation that the gate keeps staged."""
    return {
        "index": index,
        "generation": manifest.generation,
        "generations": list(generations),
        "created_at": manifest.created_at,
        "note": manifest.note,
        "documents": manifest.documents,
        "chunks": manifest.chunks,
        "bytes": sum(file.size for entry in manifest.segments for file in entry.files),
        "staged": staged,
        "refused": _refused(refused),
        "segments": [
            {
                "segment_id": entry.segment_id,
                "chunks": entry.chunks,
                "deleted_chunks": entry.deleted_chunks,
                names.DENSE: dataclasses.asdict(entry.dense) if entry.dense else None,
                names.LEXICAL: dataclasses.asdict(entry.lexical) if entry.lexical else None,
                "files": {file.name: file.size for file in entry.files},
            }
            for entry in manifest.segments
        ],
        "fingerprints": manifest.fingerprints,
        "encoder": manifest.encoder,
    }


def unpublished_record(index: str, staged: bool, refused: Manifest | None) -> dict[str, Any]:
    """The same of an index that nothing was published in yet, though something waits in it."""
    return {"index": index, "generation": None, "generations": [], "staged": staged, "refused": _refused(refused)}


def waiting_lines(record: Mapping[str, Any]) -> list[str]:
    """What waits to be published, and how to publish it."""
    staged = (
        "an ingest is staged: `pipeline encode` publishes it; `pipeline build` takes up the shards that are done"
    )
    lines = [staged] if record["staged"] else []
    if record["refused"]:
        reasons = printable("; ".join(record["refused"]["reasons"]))
        lines.append(f"the gate refused generation {record['refused']['generation']}, it is staged: {reasons}")
    return lines


def _refused(manifest: Manifest | None) -> dict[str, Any] | None:
    if manifest is None:
        return None
    return generation_record(manifest) | {"reasons": list(manifest.statistics.refusals)}


def status_table(console: Console, record: Mapping[str, Any]) -> None:
    """The same for a person."""
    name = escape(printable(record["index"]))
    console.print(f"[bold]{name}[/]  generation {record['generation']} of {record['created_at']}")
    if record["note"]:
        console.print(f"  {escape(printable(record['note']))}")
    console.print(
        f"  {counted(record['documents'], 'document')}, {counted(record['chunks'], 'chunk')}, "
        f"{counted(len(record['segments']), 'segment')}, {size(record['bytes'])}"
    )
    for line in waiting_lines(record):
        console.print(f"  {escape(line)}")
    table = Table("segment", "chunks", "deleted", *names.LEGS, "files")
    for entry in record["segments"]:
        files = "\n".join(f"{name} {size(count)}" for name, count in entry["files"].items())
        table.add_row(
            entry["segment_id"][:12],
            f"{entry['chunks']:,}",
            f"{entry['deleted_chunks']:,}",
            _dense(entry[names.DENSE]) if "dense.faiss" in entry["files"] else "",
            _lexical(entry[names.LEXICAL]) if "postings.arrow" in entry["files"] else "",
            files,
        )
    console.print(table)
    prints = Table("part", "field", "value")
    for part, fields in record["fingerprints"].items():
        for name, value in fields.items():
            prints.add_row(part, name, escape(printable(value)))
    console.print(prints)


def _dense(parameters: Mapping[str, Any] | None) -> str:
    """How an approximate segment is searched, and the recall measured so."""
    if parameters is None:
        return "exact"
    probes = f", {parameters['probes']} probes" if parameters["probes"] else ""
    refine = f", {parameters['refine']}× refined" if parameters["refine"] > 1 else ""
    return escape(f"{parameters['kind']}{probes}{refine}: recall {parameters['recall']:.3f}")


def _lexical(parameters: Mapping[str, Any] | None) -> str:
    """Whether an approximate index proposes, and its recall against the exact leg."""
    return "exact" if parameters is None else f"seismic: recall {parameters['recall']:.3f}"
