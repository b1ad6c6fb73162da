"""`motherlode access`: who may call the server, with which scopes and how often."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from motherlode import access as ring
from motherlode import last_used
from motherlode.cli import options
from motherlode.settings import Settings

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LENGTH: Final = re.compile(r"(\d{1,6})([smhd])", re.ASCII)


class _Length(click.ParamType[timedelta]):
    """A length of time: 90d, 24h, 30m, 10s."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = _LENGTH.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is no length of time. Write it like 90d, 24h, 30m or 10s.", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.group()
def access() -> None:
    """Make, list, replace and end the keys that callers of the server have. docs/security.md tells the rest."""


@access.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(ring.SCOPES), help="May be given often."
)
@click.option("--expires", type=_Length(), help="When it ends, like 90d; never by default.")
@click.option("--rate", type=float, default=ring.RATE, show_default=True, help="Requests a second.")
@click.option("--burst", type=float, help="How many at once; two seconds' worth by default.")
@click.option(
    "--purpose",
    "purposes",
    multiple=True,
    help="What its requests may be for; anything by default. May be given often.",
)
@options.home
def add(
    name: str,
    scopes: tuple[str, ...],
    expires: timedelta | None,
    rate: float,
    burst: float | None,
    purposes: tuple[str, ...],
    home: Path | None,
) -> None:
    """Make a key for NAME, a system that calls the server, and print it: once, it is kept nowhere."""
    key, token = ring.add(Settings.from_env(home=home), name, scopes, expires, rate, burst, purposes)
    click.echo(token)
    bound = f", for {', '.join(key.purposes)} alone" if key.purposes else ""
    opens = f"It opens: {', '.join(key.scopes)}{bound}."
    _say(f"This is the only time that key {key.id} of {key.name!r} is shown. {opens}")


@access.command("list")
@options.home
def list_keys(home: Path | None) -> None:
    """Print the keys: ids and names, no secrets."""
    settings, now = Settings.from_env(home=home), datetime.now(UTC)
    keys, used = ring.read(settings), last_used.read(settings)
    table = Table(title=f"{len(keys)} keys in {ring.path_of(settings)}")
    table.add_column("id", no_wrap=True)  # to be copied
    for heading in ("name", "scopes", "for", "rate", "created", "used", "expires", "is"):
        table.add_column(heading, overflow="fold")
    for key in keys:
        ends = [each.until for each in key.secrets if each.until is not None and each.until > now]
        state = key.state(now) + (f", the old secret too until {_day(max(ends))}" if ends else "")
        opens = [", ".join(key.scopes), ", ".join(key.purposes) or "anything"]
        dates = [f"{key.created:%Y-%m-%d}", _day(used.get(key.id)), _day(key.expires)]
        table.add_row(*map(Text, (key.id, key.name, *opens, f"{key.rate:g}/s", *dates, state)))
    Console().print(table)


@access.command()
@click.argument("key_id", metavar="ID")
@options.home
def revoke(key_id: str, home: Path | None) -> None:
    """End the key ID for good: running servers refuse it within a second."""
    key = ring.revoke(Settings.from_env(home=home), key_id)
    _say(f"Key {key.id} of {key.name!r} is revoked.")


@access.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--overlap", type=_Length(), default="24h", show_default=True, help="How long the old secret stays valid; 0s: not."
)
@options.home
def rotate(key_id: str, overlap: timedelta, home: Path | None) -> None:
    """Give the key ID a new secret and print it, once; the old one stays valid for the overlap."""
    key, token = ring.rotate(Settings.from_env(home=home), key_id, overlap)
    click.echo(token)
    old = key.secrets[-1].until
    _say(
        f"This is the only time that the new secret of {key.name!r} is shown. "
        + ("The old one is void." if old is None else f"The old one ends {old:%Y-%m-%d %H:%M:%S} UTC.")
    )


def _day(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _say(text: str) -> None:
    """To the standard error: the output is the key alone, to be piped into a vault."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
