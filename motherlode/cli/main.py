"""The `motherlode` command: a group that loads a command's module when it is asked for.

So `motherlode serve` runs where only serving is installed, and `--help` answers at once.
"""

import importlib
import signal
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import click
from rich.console import Console

from motherlode import __version__
from motherlode.errors import MotherlodeError

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "demo": "from raw tables to live answers, on the demo's data",
        "run": "raw tables → live answers, once or by a schedule",
        "init": "a new project's folder: a commented mapping, a key, what comes next",
        "inspect": "a company's files → a proposal for its mapping",
        "ingest": "raw tables → warehouse",
        "lineage": "which files are in which tables, and what became of their rows",
        "quality": "what is wrong with the data, and what it looks like",
        "quarantine": "rows that are kept out: list, show, release",
        "merges": "which customers were found to be one person: list, undo, redo",
        "features": "warehouse → feature snapshots, applied to Feast",
        "materialize": "feature snapshots → online store",
        "status": "what lies where, and how fresh it is",
        "train": "train every model and write a bundle",
        "evaluate": "print a bundle's figures beside their baselines",
        "publish": "make a bundle the one that serves",
        "rollback": "serve the bundle before",
        "score": "score every customer into a Parquet file",
        "serve": "answer over HTTP until Ctrl-C",
        "audit": "who did what to the data; verify that the log of it is whole",
        "keys": "make a key; which keys are in use",
        "rekey": "replace the pseudonym key, or the key of raw",
        "upgrade": "the state of an older version → this one's",
        "doctor": "what this machine runs on, and why",
    }
)
"""Command → one line of help; its module is `motherlode.cli.<command>`, its function has the same name."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        try:
            module = importlib.import_module(f"motherlode.cli.{cmd_name}")
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("motherlode"):
                raise
            raise click.ClickException(
                f"`motherlode {cmd_name}` needs the package {error.name!r}. "
                "Install `motherlode[cpu,warehouse,train,demo]`."
            ) from error
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}. Commands: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Motherlode: customer features, models and live answers, on the GPU or without one.

    State lies under MOTHERLODE_HOME (`.motherlode` in this folder by default). REDIS_URL names a Redis or
    Valkey; without it an embedded Valkey is used.
    """


def main(arguments: Sequence[str] | None = None, command: click.Command = cli) -> None:
    """Run a command; a known error prints what is wrong and the remedy, and exits with 1."""
    # A service manager's stop unwinds as Ctrl-C does, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        code: Any = command.main(args=arguments, prog_name="motherlode", standalone_mode=False)
    except MotherlodeError as error:
        _fail(error.problem, error.remedy)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}.", "Check that the folder is there, is yours, and has room.")
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _fail(problem: str, remedy: str) -> None:
    console = Console(stderr=True, highlight=False)
    console.print("[bold red]error:[/] ", end="")
    console.print(problem, markup=False, soft_wrap=True)
    if remedy:
        console.print("[bold]remedy:[/] ", end="")
        console.print(remedy, markup=False, soft_wrap=True)
    sys.exit(1)
