"""The command that makes keys for the service: key."""

from __future__ import annotations

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
@click.option("--stdin", "from_stdin", is_flag=True, help="Take the key from standard input instead of a new one.")
@click.pass_obj
def key(options: Options, name: str, roles: tuple[str, ...], from_stdin: bool) -> None:
    """Make a key for `pipeline serve`: its entry for the file of keys, and on standard error the key itself."""
    from pipeline.serve.guard.keys import SHORTEST, hash_of, new_key

    if not name.replace("-", "").replace("_", "").isalnum():
        raise click.UsageError(f"{name}: a name has letters, digits, `-` and `_`")
    made = sys.stdin.read().strip() if from_stdin else new_key()
    if len(made) < SHORTEST:
        raise click.UsageError(f"--stdin: a key has at least {SHORTEST} characters, since it must not be guessed")
    click.echo(f"  - name: {name}\n    hash: {hash_of(made)}\n    roles: [{', '.join(dict.fromkeys(roles))}]")
    if not from_stdin:
        options.warn(f"the key, which is told this once: {made}")
