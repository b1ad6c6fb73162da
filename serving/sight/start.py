"""The sight of one replica, by the settings."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from motherlode.errors import SettingsError
from motherlode.settings import Settings, environment
from serving.haproxy import SOCKET_VARIABLE
from serving.sight.haproxy import HAProxy
from serving.sight.sight import Sight, Tracer

_EXPORTER: Final = "opentelemetry.exporter"
_TRACING: Final = "serving.sight.tracing"
"""Not imported without an endpoint: OpenTelemetry takes a tenth of a second and some megabytes."""


def open_sight(settings: Settings) -> Sight:
    """Counts that are shared with the other replicas of the same server; traces, where an endpoint is named.

    Raises:
        SettingsError: an endpoint is named, and the extra `tracing` is not installed.
    """
    socket = environment({}).get(SOCKET_VARIABLE)
    haproxy = None if socket is None else HAProxy(Path(socket))
    return Sight(settings.home / "run" / f"metrics-{settings.port}", _tracer(settings), haproxy)


def _tracer(settings: Settings) -> Tracer | None:
    if settings.otlp_endpoint is None:
        return None
    if find_spec(_EXPORTER) is None or find_spec(f"{_EXPORTER}.otlp.proto.http") is None:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry's exporter is not installed.",
            "Install motherlode[tracing], or unset it.",
        )
    module: Any = importlib.import_module(_TRACING)
    tracer: Tracer = module.Traces(settings.otlp_endpoint, settings.trace_share)
    return tracer
