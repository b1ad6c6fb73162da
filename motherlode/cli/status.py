"""`motherlode status`: what lies where, how fresh it is, and how much the store holds."""

import threading
import time
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from feature_repo.freshness.measure import Freshness, Mart, ViewFreshness, measure
from feature_repo.freshness.metrics import CONTENT_TYPE, exposition
from feature_repo.warehouse import state
from motherlode import bundle, bundles, refusal
from motherlode.cli import options
from motherlode.errors import BundleError, MotherlodeError, PortInUseError, StoreError
from motherlode.redis_server import running
from motherlode.settings import Settings

_HEADINGS: Final = (
    *("view", "built", "online", "cover", "age p50", "p95", "max", "stale", "in 1 d", "null", "lag", "MB"),
)
_HOST: Final = "127.0.0.1"
_EVERY: Final = 15
_PRINT: Final = "-"
_DASH: Final = "–"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print all that was measured as JSON.")
@click.option(
    "--prometheus",
    is_flag=False,
    flag_value=_PRINT,
    metavar="[FILE]",
    help="Print it as Prometheus metrics, or write them to FILE, for the node exporter's textfile collector.",
)
@click.option("--listen", type=click.IntRange(1, 65535), metavar="PORT", help="Serve /metrics on this machine alone.")
@click.option(
    "--every", type=click.IntRange(min=1), help=f"With --listen: measure at most so often, s.  [default: {_EVERY}]"
)
@options.home
def status(as_json: bool, prometheus: str | None, listen: int | None, every: int | None, home: Path | None) -> None:
    """Show each view's online rows: ages, coverage, nulls, what goes stale, how far the mart is ahead; and the bundle.

    Of a large store a sample is looked at, and counts are estimates (≈). Exits with 1 where the store does not answer.
    """
    if as_json + (prometheus is not None) + (listen is not None) > 1:
        raise click.UsageError("--json, --prometheus and --listen are three things: give one.")
    if every is not None and listen is None:
        raise click.UsageError("--every belongs to --listen.")
    unbound = Settings.from_env(home=home)
    if not unbound.home.is_dir():
        raise StoreError(
            f"There is no state in {unbound.home}.", "Run `motherlode demo`, or name its folder by --home."
        )
    state.read(unbound)  # an older version's home is upgraded first
    if listen is not None:
        _serve(unbound, listen, every or _EVERY)
        return
    found = _measured(unbound)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1))
    elif prometheus == _PRINT:
        click.echo(exposition(found), nl=False)
    elif prometheus is not None:
        _write(Path(prometheus), exposition(found))
    else:
        _show(Console(), unbound, found)
    if found.problem:
        raise StoreError(found.problem, "Start it, correct REDIS_URL, or unset REDIS_URL for the embedded Valkey.")


def _measured(settings: Settings) -> Freshness:
    """A measurement; where no server runs, of what is offline."""
    try:
        with running(settings) as bound:
            return measure(bound)
    except StoreError as error:
        if settings.redis_url is None:
            raise
        return msgspec.structs.replace(measure(replace(settings, redis_url=None)), problem=error.problem)


# --------------------------------------------------------------------------- the table


def _show(console: Console, settings: Settings, found: Freshness) -> None:
    table = Table(title=f"State in {settings.home}", box=SIMPLE, padding=(0, 1, 0, 0), show_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "view" else "right", no_wrap=True)
    for view in found.views:
        table.add_row(*_row(view, found.at))
    console.print(table)
    for line in (_unreadable(found), _store(found), _stream(found), _bundle(settings)):
        if line:
            console.print(line, soft_wrap=True, highlight=False)


def _row(view: ViewFreshness, at: datetime) -> tuple[str, ...]:
    here, built = view.online, view.offline
    ages = here.ages if here else None
    return (
        view.name,
        _DASH if built is None else _span((at - built.built_at).total_seconds()),
        _DASH if here is None else f"{'≈' if here.estimated else ''}{here.rows:,}",
        _share(view.coverage),
        *((_DASH,) * 3 if ages is None else (_span(ages.p50), _span(ages.p95), _span(ages.longest))),
        _share(here.stale if here and ages and view.ttl_s else None),
        _share(here.expiring if here and ages and view.ttl_s else None),
        _share(here.nulls if here else None),
        _span(view.lag_s),
        f"{here.bytes / 1e6:,.1f}" if here and here.bytes else _DASH,
    )


def _share(share: float | None) -> str:
    """A percentage that says 0 and 100 only of none and of all."""
    if share is None:
        return _DASH
    return f"{share:.0%}" if share in (0, 1) else f"{min(max(100 * share, 0.1), 99.9):.3g}%"


def _span(seconds: float | None) -> str:
    """A time in its largest unit: 40 s, 12 min, 7 h, 3 d."""
    if seconds is None:
        return _DASH
    if seconds < 0.5:
        return "0"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _unreadable(found: Freshness) -> str:
    shares = [(view.name, view.online.corrupt) for view in found.views if view.online and view.online.corrupt]
    if not shares:
        return ""
    told = ", ".join(f"{_share(share)} of {name}" for name, share in shares)
    return (
        f"Online rows that cannot be read: {told}. After an upgrade run `motherlode materialize`, "
        "and of the live view `motherlode stream`; damaged rows are replaced by `motherlode materialize --shadow`."
    )


def _store(found: Freshness) -> str:
    if found.store is None:
        return ""
    limit = f" of {found.store.most_bytes / 1e6:,.1f}" if found.store.most_bytes else ", no limit set"
    seen = "" if found.store.walked >= found.store.keys else f"; {found.store.walked:,} looked at"
    return f"Store: {found.store.bytes / 1e6:,.1f} MB{limit}, {found.store.keys:,} keys{seen}."


def _stream(found: Freshness) -> str:
    if found.stream is None:
        return ""
    if not found.stream.waiting:
        return "Events: none waits."
    return f"Events: {found.stream.waiting:,} wait, the oldest for {_span(found.stream.oldest_s)}."


def _bundle(settings: Settings) -> str:
    try:
        manifest = bundle.read_manifest(bundles.current(settings.models))
    except BundleError as error:
        return f"Bundle: none. {error.remedy}"
    others = len(bundles.versions(settings.models)) - 1
    told = (
        f"Bundle {manifest.version}, trained on the {manifest.device} ({manifest.device_reason}); {others} others kept."
    )
    refused = refusal.holding(settings.models)
    if refused is None:
        return told
    return f"{told}\nServing refused it, {refused.serving} answers; published again it is tried again. {refused.reason}"


# --------------------------------------------------------------------------- metrics


def _write(path: Path, text: str) -> None:
    """In one step: a collector that reads meanwhile sees the metrics before or those after, and no file between."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _Scraped:
    """The latest measurement, made anew when it is asked for and is too old."""

    def __init__(self, settings: Settings, every: int) -> None:
        self._settings = settings
        self._every = every
        self._lock = threading.Lock()
        self._made = -float("inf")
        self._text = b""
        self._mart = Mart()

    def text(self) -> bytes:
        with self._lock:
            if time.monotonic() - self._made >= self._every:
                self._text = exposition(measure(self._settings, mart=self._mart)).encode()
                self._made = time.monotonic()
            return self._text


def _serve(settings: Settings, port: int, every: int) -> None:
    with running(settings) as bound:
        scraped = _Scraped(bound, every)

        class Handler(BaseHTTPRequestHandler):
            """Answers /metrics, and nothing else."""

            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                    return
                try:
                    text = scraped.text()
                except MotherlodeError as error:
                    self.send_error(503, error.problem)
                    return
                except Exception as error:  # noqa: BLE001 - a scrape always has an answer, and the next may go well
                    self.send_error(500, f"What is there cannot be measured: {type(error).__name__}.")
                    return
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """A scrape every few seconds is nothing to tell."""

        try:
            server = ThreadingHTTPServer((_HOST, port), Handler)
        except OSError as error:
            raise PortInUseError(f"Port {port} cannot be listened on: {error.strerror}.", "Name another.") from None
        with server:
            Console().print(f"Metrics at http://{_HOST}:{port}/metrics until Ctrl-C.", highlight=False, soft_wrap=True)
            server.serve_forever()
