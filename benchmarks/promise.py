"""What serving promises, beside what was measured: the table of `benchmarks/serving.py`."""

from collections.abc import Iterator, Mapping
from typing import Final

from benchmarks.results import Row

CLIENTS: Final = 16
BATCHING: Final = 4
"""Clients that ask for a hundred customers each."""
BATCH: Final = 100
OURS: Final = "motherlode serve"
RAY: Final = "stock parts under Ray Serve"
UVICORN: Final = "stock parts under uvicorn"
EMPTY: Final = "empty Ray Serve endpoint"
FEAST: Final = "feast serve"

Figures = dict[str, float]
"""Of one server, by name: medians of the rounds."""


def rows(found: Mapping[str, Figures], features: int) -> Iterator[Row]:
    """The table of the promise.

    Args:
        found: server → its figures.
        features: of a customer.
    """
    ours, ray, uvicorn = found[OURS], found[RAY], found[UVICORN]
    full = f"full answer of {features} features"
    one, many = f"{full}, {CLIENTS} clients × 1 customer", f"{full}, {BATCHING} clients × {BATCH} customers"
    for peer, goal in ((RAY, "ratio >= 30"), (UVICORN, "ratio >= 18"), (EMPTY, "ratio >= 3")):
        yield _times(one, "requests/s", ours["single"], peer, found[peer]["single"], goal)
    yield _times(many, "calls/s", ours["batch"], RAY, ray["batch"], "ratio >= 30")
    yield _times(many, "calls/s", ours["batch"], UVICORN, uvicorn["batch"], "")
    yield _times(many, "calls/s", ours["batch"], FEAST, found[FEAST]["batch"], "ratio >= 10")
    cpu = ours["CPU"] / ours["empty CPU"]
    peer = f"our /healthz, {ours['empty CPU'] * 1e3:.3g} ms, {ours['empty']:,.0f} requests/s"
    yield Row("CPU of a full answer, times our empty endpoint's", cpu, "×", peer, 1 / cpu, "<= 2")
    least = ours["no customer CPU"]
    peer = f"our empty batch, {least * 1e3:.3g} ms, {ours['no customer']:,.0f} requests/s"
    yield Row("CPU of a full answer, times an empty batch's", ours["CPU"] / least, "×", peer, least / ours["CPU"])
    for what, name in (
        ("CPU of a full answer, the Valkey left out", "CPU"),
        (f"the same, {BATCH} customers", "batch CPU"),
    ):
        for peer in (RAY, UVICORN):
            theirs = found[peer][name]
            told = f"{peer}, {theirs * 1e3:.3g} ms"
            yield Row(what, ours[name] * 1e3, "ms", told, theirs / ours[name])
    yield Row("CPU of the Valkey for it", ours["Valkey CPU"] * 1e3, "ms")
    peer = f"at the peak, where requests are answered together, {ours['CPU'] * 1e3:.3g} ms"
    half = ours["half CPU"]
    yield Row("CPU of a full answer at half the peak", half * 1e3, "ms", peer, ours["CPU"] / half)
    yield Row(f"p99 at half the peak, {ours['half rate']:,.0f} requests/s", ours["half p99"], "ms", goal="<= 10")
    yield Row("requests at half the peak without an answer", ours["half failed"], "", goal="<= 0")
    yield Row("longest pause of the load generator then", ours["stalled"], "ms")
    yield Row("p50 at half the peak", ours["half p50"], "ms")
    yield Row(f"p99 at the peak, {CLIENTS} clients", ours["p99"], "ms")
    for peer in (RAY, UVICORN):
        theirs = found[peer]["one p50"]
        yield Row("p50 at 1 client", ours["one p50"], "ms", f"{peer}, {theirs:.3g} ms", theirs / ours["one p50"])
    for what, name, unit in (
        ("memory of the replica (PSS)", "replica", "MB"),
        ("cold start, from the command to the first answer", "cold start", "s"),
    ):
        share = ours[name] / ray[name]
        yield Row(f"{what}, share of the stock parts'", share, "", f"{RAY}, {ray[name]:.3g} {unit}", goal="<= 0.5")
        yield Row(what, ours[name], unit)
    peer = f"{RAY}, {ray['all']:.0f} MB"
    yield Row("memory of all processes (PSS)", ours["all"], "MB", peer, ray["all"] / ours["all"])


def _times(what: str, unit: str, ours: float, peer: str, theirs: float, goal: str) -> Row:
    return Row(what, ours, unit, f"{peer}, {theirs:,.3g} {unit}", ours / theirs, goal)
