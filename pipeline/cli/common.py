"""What the commands share: settings, progress bars, consoles, and the one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import importlib
import keyword
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from pipeline import errors, interruption
from pipeline.cli import logs
from pipeline.startup import own_process
from pipeline.startup.installed import told_what_to_install
from pipeline.wording import printable

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config
    from pipeline.ingest.cutting.contract import DocumentChunker
    from pipeline.models.contract import Encoder
    from pipeline.progress import Progress, ProgressFactory
    from pipeline.query.access import Groups
    from pipeline.query.searcher import Index

EXIT_OK, EXIT_FAILED, EXIT_BAD_CONFIGURATION, EXIT_REJECTS, EXIT_NOTHING_TO_DO, EXIT_LOCKED, EXIT_REFUSED = range(7)
_OUT_OF_MEMORY = "out of memory; the live index is as it was; lower encode.shard_chunks"
_NO_THREAD = "can't start new thread"
"""What Python says where there is no room for a thread's stack."""
_WRITERS = ("build", "ingest", "encode", "compact", "publish")
_KEPT = ": the live index is as it was and what is staged is kept; `pipeline {command}` goes on from there"


@dataclass(frozen=True, slots=True)
class Options:
    """The options that every command has. `config_named`: `config_path` was given, so it must be there.

    `encoder`, `chunker`: of an application that runs commands with its own, as `cli.main(obj=Options(encoder=…))`.
    """

    config_path: Path = Path("config.yaml")
    quiet: bool = False
    log_json: bool = False
    config_named: bool = False
    verbose: bool = False
    encoder: Encoder | None = None
    chunker: DocumentChunker | None = None

    def with_option(self, name: str, value: Any) -> Options:
        """These options and one more, by its name on the command line."""
        match name:
            case "config":
                return dataclasses.replace(self, config_path=Path(value), config_named=True)
            case "quiet":
                return dataclasses.replace(self, quiet=True)
            case "verbose":
                return dataclasses.replace(self, verbose=True)
        return dataclasses.replace(self, log_json=True)

    @property
    def level(self) -> int:
        """The level from which this package logs."""
        return logging.INFO if self.verbose else logging.ERROR if self.quiet else logging.WARNING

    def say(self, message: str, **fields: object) -> None:
        """Print what was done, or log it with fields beside it if logs are JSON; nothing if quiet."""
        if self.log_json:
            logs.tell(logging.INFO, message, **fields)
        elif not self.quiet:
            click.echo(message)

    def warn(self, message: str, **fields: object) -> None:
        """Print a warning to standard error, or log it with fields beside it if logs are JSON."""
        if self.log_json:
            logs.tell(logging.WARNING, message, **fields)
        else:
            click.echo(printable(message), err=True)

    def config(self) -> Config:
        """The configuration file, checked."""
        from pipeline.config import load_config

        return load_config(self.config_path)

    def config_or_defaults(self) -> Config:
        """The configuration, or the defaults where none was named and there is no config.yaml."""
        from pipeline.config import Config

        return self.config() if self.config_named or self.config_path.exists() else Config()

    def progress(self) -> ProgressFactory:
        """tqdm bars on a terminal, or a line in the log for each stage if logs are JSON or wanted, else nothing."""
        from pipeline.progress import silent

        if self.log_json or self.verbose:
            from pipeline.job.stopwatch import Stopwatch

            return Stopwatch(tell=logs.tell_stage)
        if self.quiet or not sys.stderr.isatty():
            return silent

        def bar(description: str, total: int | None, unit: str) -> Progress:
            from tqdm import tqdm

            made: Progress = tqdm(desc=description, total=total, unit=f" {unit}", smoothing=0.1, dynamic_ncols=True)
            return made

        return bar

    @contextlib.contextmanager
    def open_index(
        self,
        index_path: str | None,
        generation: int | Literal["staged"] | None = None,
        groups: Groups = frozenset(),
    ) -> Iterator[Index]:
        """The configured index, with the configured encoder; or the one at `index_path`, with its own.

        `groups`: for whom it is opened.
        """
        with own_process.importing():
            from pipeline.query.searcher import open_index

        if index_path is not None:
            opened = open_index(
                index_path,
                generation=generation,
                encoder=self.encoder,
                settings=self.config_or_defaults().query,
                groups=groups,
            )
        else:
            config = self.config()
            opened = open_index(
                config.index_path,
                generation=generation,
                encoder=self.encoder or config.encoder,
                base=config.base,
                settings=config.query,
                groups=groups,
            )
        with opened:
            yield opened

    def index_folder(self, index_path: str | None) -> Path:
        """The folder that `--index` or the configuration names."""
        return Path(index_path) if index_path is not None else self.config().index_path


def collected(**records: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a decorator that hands a command its options in records, each by the name given here.

    A record is a dataclass, and takes the options that its fields are named after.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(*given: Any, **options: Any) -> None:
            made = {
                name: record(**{field.name: options.pop(field.name) for field in dataclasses.fields(record)})
                for name, record in records.items()
            }
            command(*given, **options, **made)

        return called

    return decorate


class Generation(click.ParamType[Any]):
    """A generation's number, or `staged`."""

    name = "generation"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["staged"]:
        if value == "staged":
            return "staged"
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor `staged`", param, ctx)


def shared_options() -> list[click.Option]:
    """The options that stand before the command or after it, as one likes; what is given last counts."""

    def take(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
        known = ctx.find_object(Options)
        options = known or Options()
        if value:
            options = options.with_option(str(parameter.name), value)
        if options is not known:
            ctx.obj = ctx.find_root().obj = options
            logs.configure(options.log_json, options.level)

    def flag(*names: str, explanation: str) -> click.Option:
        return click.Option(names, is_flag=True, expose_value=False, callback=take, help=explanation)

    return [
        click.Option(
            ("--config",),
            metavar="FILE",
            expose_value=False,
            callback=take,
            help="Configuration. Default: config.yaml",
        ),
        flag("--quiet", "-q", explanation="Print results and errors only: no progress, no summary."),
        flag("--verbose", "-v", explanation="Log what is being done to standard error."),
        flag("--log-json", explanation="Log to standard error, one JSON object a line; summaries too."),
    ]


class Commands(click.Group):
    """Gives every command the shared options, and turns the package's errors into one line and an exit code.

    `modules`: where each command is defined. It is imported when asked for: a query need not wait for the rest.
    """

    def __init__(self, *given: Any, modules: Mapping[str, str], **options: Any) -> None:
        super().__init__(*given, **options)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = cmd_name in self._modules
        for name in (cmd_name,) if known else self._modules:  # all of them, to suggest one that reads like it
            if name not in self.commands:
                attribute = f"{name}_" if keyword.iskeyword(name) else name
                self.add_command(getattr(importlib.import_module(self._modules[name]), attribute))
        return super().get_command(ctx, cmd_name)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.params.extend(shared_options())
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with told_what_to_install():
                return super().invoke(ctx)
        except errors.PipelineError as error:
            _fail(ctx, f"error: {error}", _exit_code(error))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            _fail(ctx, f"error: {_disk_error(error)}", EXIT_FAILED)
        except MemoryError:
            _fail(ctx, f"error: {_OUT_OF_MEMORY}", EXIT_FAILED)
        except RuntimeError as error:
            if str(error) != _NO_THREAD:
                raise
            _fail(ctx, f"error: {_OUT_OF_MEMORY}", EXIT_FAILED)
        except KeyboardInterrupt as stop:
            _interrupted(ctx, stop)


def _interrupted(ctx: click.Context, stop: KeyboardInterrupt) -> NoReturn:
    """Say what was interrupted, even if nobody is left to read it, and exit with the signal's own code."""
    command = ctx.invoked_subcommand
    kept = _KEPT.format(command=command) if command in _WRITERS else ""
    what = "".join(f": {note}" for note in getattr(stop, "__notes__", ())) or kept
    code = interruption.exit_code(stop)
    try:
        _fail(ctx, interruption.word(stop) + what, code, signal=interruption.signal_of(stop).name)
    except OSError:  # the terminal whose end was told by SIGHUP
        sys.exit(code)
    finally:
        interruption.stop_listening()


def _fail(ctx: click.Context, message: str, exit_code: int, **fields: object) -> NoReturn:
    """Say why on standard error and exit."""
    if ctx.obj is not None and ctx.obj.log_json:
        logs.tell(logging.ERROR, message.removeprefix("error: "), event="failed", exit_code=exit_code, **fields)
    else:
        click.echo(printable(message), err=True)
    sys.exit(exit_code)


def _disk_error(error: OSError) -> str:
    """One line with the file, the cause and the cure."""
    what = " ".join((error.strerror or str(error)).split())
    line = f"{error.filename}: {what}" if error.filename is not None else what
    match error.errno:
        case errno.ENOMEM:
            return _OUT_OF_MEMORY
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return f"{line}; free some space and run it again; the live index is as it was"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{line}; let this user write there, or name another folder; the live index is as it was"
        case errno.EIO:
            return f"{line}; the disk may be failing: `pipeline verify` says what is damaged"
    return line


def _exit_code(error: errors.PipelineError) -> int:
    match error:
        case errors.ConfigError() | errors.IncompatibleIndexError():
            return EXIT_BAD_CONFIGURATION
        case errors.RejectedDocumentsError():
            return EXIT_REJECTS
        case errors.DeletionGuardError() | errors.GateRefusedError():
            return EXIT_REFUSED
        case errors.IndexLockedError():
            return EXIT_LOCKED
    return EXIT_FAILED


def console() -> Console:
    """A console that fits the terminal; where the output goes elsewhere, COLUMNS wide, or 120."""
    from rich.console import Console

    wanted = os.environ.get("COLUMNS", "")
    columns = int(wanted) if wanted.isdecimal() and int(wanted) else 120
    return Console(width=None if sys.stdout.isatty() else columns, emoji=False)
