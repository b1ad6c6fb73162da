"""The table of the serving benchmark: each figure is held against its own peer, the right way round."""

from benchmarks.promise import EMPTY, FEAST, OURS, RAY, UVICORN, Figures, rows

CPU: Figures = {"CPU": 0.006, "batch CPU": 0.05}
FOUND: dict[str, Figures] = {
    OURS: {
        "cold start": 6.0,
        "single": 3000.0,
        "batch": 600.0,
        "p99": 9.0,
        "one p50": 0.5,
        "CPU": 0.0003,
        "batch CPU": 0.0015,
        "Valkey CPU": 0.00002,
        "empty CPU": 0.0002,
        "empty": 4000.0,
        "no customer CPU": 0.00018,
        "no customer": 4500.0,
        "half CPU": 0.0005,
        "half rate": 1500.0,
        "half p50": 0.6,
        "half p99": 8.0,
        "half failed": 0.0,
        "stalled": 1.0,
        "replica": 150.0,
        "all": 900.0,
    },
    RAY: {"cold start": 13.0, "single": 90.0, "batch": 19.0, "one p50": 14.0, "replica": 380.0, "all": 1500.0, **CPU},
    UVICORN: {"cold start": 5.0, "single": 156.0, "batch": 37.0, "one p50": 5.0, "replica": 0.0, "all": 350.0, **CPU},
    EMPTY: {"cold start": 8.0, "single": 330.0},
    FEAST: {"cold start": 6.0, "batch": 55.0},
}
GOALS = 10


def _kept(changes: dict[str, Figures]) -> list[str]:
    found = {called: {**figures, **changes.get(called, {})} for called, figures in FOUND.items()}
    return [f"{row.what} {row.peer}" for row in rows(found, 30) if row.kept == "MISSED"]


def test_what_keeps_every_promise_is_told_so() -> None:
    assert sum(row.kept == "met" for row in rows(FOUND, 30)) == GOALS
    assert _kept({}) == []


def test_each_promise_is_missed_by_its_own_figure() -> None:
    worse: list[dict[str, Figures]] = [
        {RAY: {"single": 101.0}},
        {UVICORN: {"single": 167.0}},
        {EMPTY: {"single": 1001.0}},
        {RAY: {"batch": 20.1}},
        {FEAST: {"batch": 60.1}},
        {OURS: {"empty CPU": 0.000149}},
        {OURS: {"half p99": 10.1}},
        {OURS: {"half failed": 1.0}},
        {OURS: {"replica": 191.0}},
        {OURS: {"cold start": 6.6}},
    ]
    missed = [_kept(each) for each in worse]
    assert [len(each) for each in missed] == [1] * GOALS
    assert len({each[0] for each in missed}) == GOALS
