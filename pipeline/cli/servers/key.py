"""The command that makes keys for the service: key."""

from __future__ import annotations

import json
import sys

import click

from pipeline.cli.common import Options


@click.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice(("read", "metrics")),
    multiple=True,
    default=("read",),
    show_default=True,
    help="What the key is for. Repeatable.",
)
@click.option("--groups", metavar="NAME,…", multiple=True, help="Groups whose documents it finds. Repeatable.")
@click.option("--all-groups", is_flag=True, help="It finds every document.")
@click.option("--groups-by-header", is_flag=True, help="Each request names its groups in serve.groups_header.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Take the key from standard input instead of a new one.")
@click.pass_obj
def key(
    options: Options,
    name: str,
    roles: tuple[str, ...],
    groups: tuple[str, ...],
    all_groups: bool,
    groups_by_header: bool,
    from_stdin: bool,
) -> None:
    """Make a key for `pipeline serve`: its entry for the file of keys, and on standard error the key itself."""
    from pipeline.serve.guard.keys import SHORTEST, hash_of, new_key

    if not name.replace("-", "").replace("_", "").isalnum():
        raise click.UsageError(f"{name}: a name has letters, digits, `-` and `_`")
    if bool(groups) + all_groups + groups_by_header > 1:
        raise click.UsageError("--groups, --all-groups, --groups-by-header: give one of them")
    made = sys.stdin.read().strip() if from_stdin else new_key()
    if len(made) < SHORTEST:
        raise click.UsageError(f"--stdin: a key has at least {SHORTEST} characters, since it must not be guessed")
    click.echo(f"  - name: {name}\n    hash: {hash_of(made)}\n    roles: [{', '.join(dict.fromkeys(roles))}]")
    if all_groups or groups_by_header:
        click.echo(f"    groups: {'all' if all_groups else 'header'}")
    elif named := [one.strip() for given in groups for one in given.split(",") if one.strip()]:
        click.echo(f"    groups: {json.dumps(named, ensure_ascii=False)}")
    if not from_stdin:
        options.warn(f"the key, which is told this once: {made}")
