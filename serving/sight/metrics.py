"""Every metric that `/metrics` tells, by name: what it says, its labels, and how replicas' values become one.

The set of label values is bounded everywhere: routes, statuses, sources, reasons, views, features, replicas, and the
few bundles that replicas keep. None is a customer's.
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "min", "max"]

_REQUEST_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_STAGE_S: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0)
_CUSTOMERS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1000.0)
_DAY_S: Final = 86_400.0
_AGE_S: Final = (60.0, 600.0, 3600.0, 6 * 3600.0, *(days * _DAY_S for days in (1, 2, 3, 5, 7, 10, 14, 21, 28, 35, 60)))


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: as Prometheus has it.
        kind: counters and histograms never go back while a replica serves.
        help: what it says.
        labels: their names.
        buckets: a histogram's upper bounds, without infinity.
        merge: what replicas' gauges become; counters and histograms are added up.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"


REQUESTS: Final = Metric(
    "motherlode_request_seconds",
    "histogram",
    "Seconds from a request's first byte to its answer's last, in the replica; status 499: whoever asked hung up.",
    ("route", "status"),
    _REQUEST_S,
)
STAGES: Final = Metric(
    "motherlode_stage_seconds",
    "histogram",
    "Seconds a stage took. Once a request: lock, body (its arrival), decode, journal, encode, send; once a batch: "
    "queue (the longest wait), redis (keys, round trip, unpacking), models, rank, lookup.",
    ("stage",),
    _STAGE_S,
)
BATCH: Final = Metric(
    "motherlode_batch_customers", "histogram", "Customers who were answered together.", ("route",), _CUSTOMERS
)
BUNDLE_LABEL: Final = "bundle"
ANSWERS: Final = Metric(
    "motherlode_answers_total",
    "counter",
    "Customers answered, by status and by where the answer comes from; source is empty where there is one alone. "
    "Of the bundle that answers and the two that were loaded last besides.",
    ("route", BUNDLE_LABEL, "status", "source"),
)
DEGRADED: Final = Metric(
    "motherlode_degraded_total",
    "counter",
    "Customers whose answer rests on less than everything, by reason; one may count under several.",
    ("reason",),
)
AGE: Final = Metric(
    "motherlode_served_feature_age_seconds",
    "histogram",
    "Seconds since the event time of rows that answers rest on, of a sample of them.",
    ("view",),
    _AGE_S,
)
FEATURE_PSI: Final = Metric(
    "motherlode_feature_psi",
    "gauge",
    "Population stability index of a feature: about the last 10,000 sampled customers of each replica against the "
    "bundle's training.",
    ("view", "feature"),
)
TRAINING_PSI: Final = Metric(
    "motherlode_feature_training_psi",
    "gauge",
    "The same index of the newest rows trained on against those before: how far the feature moves by itself.",
    ("view", "feature"),
)
NULL_SHARE: Final = Metric(
    "motherlode_feature_null_share",
    "gauge",
    "Share of those customers of whom the feature is null.",
    ("view", "feature"),
)
TRAINING_NULL_SHARE: Final = Metric(
    "motherlode_feature_training_null_share",
    "gauge",
    "Share of the newest customers trained on of whom the feature was null.",
    ("view", "feature"),
)
SCORE_PSI: Final = Metric(
    "motherlode_score_psi", "gauge", "The same of a model's answers, against those of its training.", ("model",)
)
DRIFT_CUSTOMERS: Final = Metric(
    "motherlode_drift_customers", "gauge", "Sampled customers that the drift is told of; older ones weigh less."
)
IN_FLIGHT: Final = Metric("motherlode_requests_in_flight", "gauge", "Requests that are being answered.")
BUNDLE: Final = Metric(
    "motherlode_bundle_info", "gauge", "Replicas that answer by this bundle on this device.", ("version", "device")
)
BUNDLE_CREATED: Final = Metric(
    "motherlode_bundle_created_timestamp_seconds",
    "gauge",
    "When the oldest bundle that answers was trained.",
    merge="min",
)
BUNDLE_REFUSED: Final = Metric(
    "motherlode_bundle_refused",
    "gauge",
    "Whether the current bundle is refused (1), and an older one answers.",
    merge="max",
)
REFUSALS: Final = Metric("motherlode_bundle_refusals_total", "counter", "Bundles that a replica refused.")
SWAPS: Final = Metric("motherlode_bundle_swaps_total", "counter", "Changes to another bundle, once a replica.")
REDIS_UP: Final = Metric(
    "motherlode_redis_up", "gauge", "Whether every replica gets an answer from Redis (1) or not (0).", merge="min"
)
REPLICAS: Final = Metric("motherlode_replicas", "gauge", "Replicas that answer.")
STARTS: Final = Metric("motherlode_replica_starts_total", "counter", "Replicas that were started.")
MEMORY: Final = Metric("motherlode_replica_resident_bytes", "gauge", "Memory of a replica.", ("replica",))
CPU: Final = Metric("motherlode_cpu_seconds_total", "counter", "Processor time of all replicas.")
BREAKER: Final = Metric(
    "motherlode_breaker_open", "gauge", "Replicas that wait for Redis no more, since it did not answer again and again."
)
FALLBACKS: Final = Metric(
    "motherlode_gpu_fallbacks", "gauge", "Replicas with a GPU that compute on the CPU, because CUDA failed."
)
CONSENT_LAG: Final = Metric(
    "motherlode_consent_lag_seconds",
    "gauge",
    "Seconds since Redis was last known to have all that the ledger of consents says.",
    merge="max",
)
LOG_FAILING: Final = Metric(
    "motherlode_access_log_failing", "gauge", "Replicas that cannot write down who asks for whom."
)
LOG_WAITING: Final = Metric(
    "motherlode_access_log_waiting", "gauge", "Customers of requests that wait to be written down."
)
LOG_LOST: Final = Metric("motherlode_access_log_lost_total", "counter", "Requests that were not written down.")
HAPROXY_REQUESTS: Final = Metric(
    "motherlode_haproxy_requests_total", "counter", "Requests that came to HAProxy; all three only where it is used."
)
HAPROXY_RESPONSES: Final = Metric(
    "motherlode_haproxy_responses_total",
    "counter",
    "Answers that HAProxy gave by itself: 429 as many are in hand as may be; other 4xx malformed, of no path, or long "
    "in coming; 5xx no replica answered.",
    ("status",),
)
HAPROXY_CONNECTIONS: Final = Metric(
    "motherlode_haproxy_connections", "gauge", "Connections of clients that are open at HAProxy."
)

METRICS: Final = (
    REQUESTS,
    STAGES,
    BATCH,
    ANSWERS,
    DEGRADED,
    AGE,
    FEATURE_PSI,
    TRAINING_PSI,
    NULL_SHARE,
    TRAINING_NULL_SHARE,
    SCORE_PSI,
    DRIFT_CUSTOMERS,
    IN_FLIGHT,
    BUNDLE,
    BUNDLE_CREATED,
    BUNDLE_REFUSED,
    REFUSALS,
    SWAPS,
    REDIS_UP,
    REPLICAS,
    STARTS,
    MEMORY,
    CPU,
    BREAKER,
    FALLBACKS,
    CONSENT_LAG,
    LOG_FAILING,
    LOG_WAITING,
    LOG_LOST,
    HAPROXY_REQUESTS,
    HAPROXY_RESPONSES,
    HAPROXY_CONNECTIONS,
)

STALE: Final = "stale"
MISSING_ROW: Final = "missing_row"
CORRUPT: Final = "corrupt"
IMPUTED: Final = "imputed"
REDIS_TIMEOUT: Final = "redis_timeout"
REDIS_CONNECTION: Final = "redis_connection"
REDIS_OTHER: Final = "redis_other"
RANK_TIMEOUT: Final = "rank_timeout"
REASONS: Final = (STALE, MISSING_ROW, CORRUPT, IMPUTED, REDIS_TIMEOUT, REDIS_CONNECTION, REDIS_OTHER, RANK_TIMEOUT)
"""Every value of `reason`; all are told from the start, so that the first of a kind is an increase."""

LOCK: Final = "lock"
BODY: Final = "body"
DECODE: Final = "decode"
QUEUE: Final = "queue"
REDIS: Final = "redis"
MODELS: Final = "models"
RANK: Final = "rank"
LOOKUP: Final = "lookup"
JOURNAL: Final = "journal"
ENCODE: Final = "encode"
SEND: Final = "send"
STAGE_NAMES: Final = (LOCK, BODY, DECODE, QUEUE, REDIS, MODELS, RANK, LOOKUP, JOURNAL, ENCODE, SEND)
"""Every value of `stage`, in their order."""
