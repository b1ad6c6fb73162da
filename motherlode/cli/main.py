"""The `motherlode` command, and what becomes of the errors of all its commands."""

import signal
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import click
from rich.console import Console

from motherlode import __version__
from motherlode.cli.lazy import Entry, Lazy
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
        "plan": "what materialize will take of time and memory",
        "materialize": "feature snapshots → online store",
        "stream": "live events → the view `live`, and raw",
        "status": "what lies where, and how fresh it is",
        "train": "train every model and write a bundle",
        "evaluate": "print a bundle's figures beside their baselines",
        "publish": "make a bundle the one that serves",
        "rollback": "serve the bundle before",
        "score": "score every customer into a Parquet file",
        "serve": "answer over HTTP until Ctrl-C",
        "suppress": "items that nobody is recommended, within a second",
        "consent": "what customers said of marketing and other purposes",
        "audit": "who did what to the data; verify that the log of it is whole",
        "access": "who may call the server: make, list, replace, end keys",
        "keys": "make a key; which keys are in use",
        "erase": "customers out of everything, for good, with a certificate",
        "rekey": "replace the pseudonym key, or the key of raw",
        "backup": "an encrypted copy of the home, kept for a stated time",
        "restore": "a home from its backup, without those who were erased since",
        "upgrade": "the state of an older version → this one's",
        "doctor": "what this machine runs on, and why",
    }
)
"""Command → one line of help; its module is `motherlode.cli.<command>`, its function has the same name."""


@click.group(
    cls=Lazy,
    entries={name: Entry(name, name, said) for name, said in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
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
