"""A group of commands whose modules are loaded when they are asked for.

So `motherlode serve` runs where only serving is installed, `--help` answers at once, and a command does not wait for
the libraries of its neighbours.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True)
class Entry:
    """A command of a group.

    Attributes:
        module: of `motherlode.cli`.
        function: the command's name there.
        help: one line.
    """

    module: str
    function: str
    help: str


def load(asked: str, module: str, function: str) -> Any:
    """A function of a module of `motherlode.cli`.

    Args:
        asked: the words of the command, for the error.
        module, function: what to load.

    Raises:
        ClickException: a package that it needs is not installed, naming it.
    """
    try:
        found = importlib.import_module(f"motherlode.cli.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("motherlode"):
            raise
        raise click.ClickException(
            f"`{asked}` needs the package {error.name!r}. Install `motherlode[cpu,warehouse,train,demo]`."
        ) from error
    return getattr(found, function)


class Lazy(click.Group):
    """A click group of entries; `click.group(cls=Lazy, entries=…)`."""

    def __init__(self, *arguments: Any, entries: Mapping[str, Entry], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.entries:
            return None
        entry = self.entries[cmd_name]
        command = load(f"{ctx.command_path} {cmd_name}", entry.module, entry.function)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}. Commands: {', '.join(self.entries)}.")
        return super().resolve_command(ctx, args)
