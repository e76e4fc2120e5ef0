"""`pipeline models`: the kinds of encoders, and what the configured one comes to."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from pipeline.cli.common import Options, console
from pipeline.names import DENSE

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.models.choose.catalog import EncoderKind, Package, Resolution, ResolvedSide


@click.command()
@click.option(
    "--check", is_flag=True, help="Load the configured encoder, downloading it if need be, and encode a sentence."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def models(options: Options, check: bool, as_json: bool) -> None:
    """List the kinds of encoders, what each needs installed, and how the configured one resolves."""
    from pipeline.models.choose import catalog

    config = options.config_or_defaults()
    kinds = catalog.kinds()
    if not as_json and not options.quiet:
        console().print(_kinds_table(kinds))
    resolution = catalog.resolve(config.encoder, config.base, check=check)
    if as_json:
        listed = [{**dataclasses.asdict(kind), "is_installed": kind.is_installed} for kind in kinds]
        record = {"kinds": listed, "configured": dataclasses.asdict(resolution)}
        click.echo(json.dumps(record, ensure_ascii=False))
    else:
        for line in _lines(resolution):
            click.echo(line)


def _kinds_table(kinds: list[EncoderKind]) -> Table:
    from rich.table import Table

    table = Table(show_lines=True, expand=True)
    for name in ("encoder", "encoder: in config.yaml", "gives", "packages"):
        table.add_column(name, overflow="fold")
    for kind in kinds:
        state = kind.name if kind.is_installed else f"{kind.name}\n[red]not installed[/]"
        table.add_row(state, kind.choose, kind.gives, "\n".join(map(_package, kind.packages)))
    return table


def _package(package: Package) -> str:
    reason = f" [dim]({package.only_for})[/]" if package.only_for else ""
    if package.version is None and package.is_there:
        return f"{package.instead} [dim](instead of {package.name})[/]"
    if package.version is None:
        other = f", or set {package.instead}" if package.instead else ""
        return f"[red]pip install {package.name}[/]{other}{reason}"
    return f"{package.name} {package.version}{reason}"


def _lines(resolution: Resolution) -> list[str]:
    if resolution.to_download:
        names = ", ".join(resolution.to_download)
        return [f"configured: {names}: not on this machine; the first use, or --check, downloads it"]
    lines = [line for side in resolution.sides for line in _side(side, resolution)]
    if check := resolution.check:
        lines += ["check", f"  first sentence     {check.load_seconds:.2f} s, loading included"]
        lines.append(f"  second time        {1000 * check.seconds:.1f} ms")
        if check.norm is not None:
            lines.append(f"  dense              {check.dimension} dimensions, norm {check.norm:.6f}")
        if check.lexical_tokens is not None:
            lines.append(f"  lexical            {check.lexical_tokens} tokens with a weight")
        if check.vectors is not None:
            lines.append(f"  multi-vectors      {check.vectors}")
    return lines


def _side(side: ResolvedSide, resolution: Resolution) -> list[str]:
    runtime = side.runtime
    lines = [f"{side.leg}: {side.kind}{f', {side.model}' if side.model not in ('', side.kind) else ''}"]
    lines.append(f"  runtime            {runtime.name} on {runtime.device}, {runtime.precision}")
    if side.leg == DENSE:
        lines.append(f"  dimension          {resolution.dimension or 'known when it is loaded or asked (--check)'}")
        lines.append(f"  multi-vectors      {'yes' if resolution.multivectors else 'no'}")
    else:
        lines.append(f"  scoring            {resolution.scoring}")
    lines += [f"  before each {name:<8} {text!r}" for name, text in side.instructions.items()]
    if side.fingerprint is None:
        lines.append("  fingerprint        the server is asked for it (--check)")
    else:
        lines.append("  fingerprint")
        lines += [f"    {name:<21}{value!r}" for name, value in side.fingerprint.items()]
    return lines
