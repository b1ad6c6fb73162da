"""Traces by OpenTelemetry, sent over OTLP. Imported where an endpoint is named, and not otherwise.

A request's span has its stages as children. Requests that are answered together share the stages of the first of
them. No attribute names a customer: the route's template stands for the path.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from motherlode import __version__
from serving.sight.sight import Headers

_PATH: Final = "/v1/traces"
_CARRIED: Final = (b"traceparent", b"tracestate")
_FAILED: Final = 500
_CLOSE_S: Final = 0.5


@dataclass(frozen=True)
class _Begun:
    method: str
    span: Span
    token: Any


class Traces:
    """Sends spans.

    Args:
        endpoint: of an OpenTelemetry collector, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it: `http://collector:4318`.
        share: of the requests that are traced, unless the caller's `traceparent` says whether.
    """

    def __init__(self, endpoint: str, share: float) -> None:
        self._exporter = OTLPSpanExporter(endpoint.rstrip("/") + _PATH)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create({"service.name": "motherlode", "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("motherlode.serving", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, method: str, headers: Headers) -> _Begun:
        """See `Tracer`."""
        carried: Mapping[str, str] = {
            name.decode(): value.decode("latin-1") for name, value in headers if name in _CARRIED
        }
        # An empty context: nothing of a request before is this one's parent.
        parent = self._propagator.extract(carried, context.Context())
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, {"http.request.method": method})
        return _Begun(method, span, context.attach(trace.set_span_in_context(span)))

    def end(self, span: _Begun, route: str, status: int) -> None:
        """See `Tracer`."""
        context.detach(span.token)
        span.span.update_name(f"{span.method} {route}")
        span.span.set_attribute("http.route", route)
        span.span.set_attribute("http.response.status_code", status)
        if status >= _FAILED:
            span.span.set_status(StatusCode.ERROR)
        span.span.end()

    def stage(self, name: str, seconds: float) -> None:
        """See `Tracer`."""
        if trace.get_current_span().is_recording():
            now = time.time_ns()
            self._tracer.start_span(name, start_time=now - int(seconds * 1e9)).end(now)

    def close(self) -> None:
        """See `Tracer`. A collector that does not answer holds nobody up."""
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(_CLOSE_S)
        if sending.is_alive():
            exporter: Any = self._exporter  # its `shutdown` has no types
            exporter.shutdown()  # it would try again for ten seconds
            sending.join(_CLOSE_S)
