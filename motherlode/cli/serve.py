"""`motherlode serve`: what was published, over HTTP, until Ctrl-C."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
from rich.console import Console

from motherlode import bundles
from motherlode.cli import options
from motherlode.redis_server import running
from motherlode.settings import Settings
from serving import profiles, server


@click.command()
@click.option("--port", type=int, help="Port to serve on (MOTHERLODE_PORT; 8000 by default).")
@click.option("--host", help="Address to listen on (MOTHERLODE_HOST; 127.0.0.1 by default).")
@click.option(
    "--profile",
    type=click.Choice(profiles.PROFILES),
    default=profiles.FAST,
    show_default=True,
    help="fast: HAProxy in front; safe: Ray Serve's own proxy.",
)
@click.option("--replicas", type=int, help="Processes that answer (MOTHERLODE_REPLICAS; one a core by default).")
@options.home
@options.device
def serve(
    port: int | None, host: str | None, profile: str, replicas: int | None, home: Path | None, device: str | None
) -> None:
    """Serve the current bundle: POST /v1/score, POST /v1/recommend, GET /v1/customers/{id}; /docs tells the rest."""
    settings = Settings.from_env(home=home, port=port, host=host, replicas=replicas, device=device)
    console = Console()

    def on_ready() -> None:
        version = bundles.current(settings.models).name
        console.print(f"Bundle {version} on {server.address(settings)}, /docs there. Ctrl-C stops it.", soft_wrap=True)

    server.run(settings, on_ready, profile, _redis)
    console.print("Stopped.")


def _redis(settings: Settings) -> AbstractContextManager[Settings]:
    """A Redis that is named may be down, now or later: answers then come without features. The embedded one starts."""
    return nullcontext(settings) if settings.redis_url is not None else running(settings)
