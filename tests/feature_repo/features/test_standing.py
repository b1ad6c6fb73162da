"""The best of many things at every snapshot, against a count of everything at each of them."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from feature_repo.features import standing
from feature_repo.features.frames import AT
from feature_repo.features.standing import CODE, CUSTOMER, ENTRY, FIRST, NEXT, NUMBER, STANDING, THING, UNTIL

START = datetime(2024, 2, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
HALF_LIFE = timedelta(days=20)
DAY = 86_400_000_000

Purchase = tuple[int, int, int]
"""Customer, code, and microseconds since 1970."""


def micros(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // MOMENT


def snapshots(count: int) -> list[datetime]:
    return [START + timedelta(days=3 * number) for number in range(count)]


def purchases(seed: int, times: list[datetime]) -> list[Purchase]:
    """Some customers buy all the time, some once in a while; some at a snapshot's very moment."""
    rng = random.Random(seed)
    first, last = micros(times[0]) - 30 * DAY, micros(times[-1]) + 5 * DAY
    edges = [micros(time) + edge for time in times for edge in (-1, 0, 1)]
    bought = set()
    for customer, (count, things) in enumerate([(400, 60), (300, 12), (40, 30), (5, 5), (1, 1)], start=1):
        for _ in range(count):
            at = rng.choice(edges) if rng.random() < 0.2 else rng.randrange(first, last)
            bought.add((customer, min(rng.randrange(1, things + 1), rng.randrange(1, things + 1)), at))
    return sorted(bought)


def frame(bought: list[Purchase]) -> pl.LazyFrame:
    schema = {CUSTOMER: pl.Int64(), CODE: pl.Int64(), AT: pl.Int64()}
    weight = standing.grown(pl.col(AT), HALF_LIFE).alias("weight")
    return pl.LazyFrame(bought, schema=schema, orient="row").select(standing.thing(), AT, weight)


def asked(times: list[datetime]) -> pl.LazyFrame:
    return pl.LazyFrame({"event_timestamp": times}, schema={"event_timestamp": pl.Datetime("us", "UTC")})


def count(bought: list[Purchase], customer: int, at: int) -> dict[int, list[int]]:
    times: dict[int, list[int]] = {}
    for whose, code, time in bought:
        if whose == customer and time < at:
            times.setdefault(code, []).append(time)
    return times


@pytest.mark.parametrize("length", [1, 3, 10])
@pytest.mark.parametrize(("seed", "number"), [(1, 70), (2, 33), (3, 1)])
def test_the_best_are_those_of_a_full_count_at_every_snapshot(seed: int, number: int, length: int) -> None:
    times = snapshots(number)
    bought = purchases(seed, times)
    lives = standing.states(frame(bought), asked(times), ["weight"])
    live = lives.filter(pl.col(UNTIL).is_null() | (pl.col(UNTIL) > pl.col(NUMBER)))
    kept = live.select(*standing.whose(), NUMBER, UNTIL, AT, standing.standing(pl.col("weight_sum")).alias(STANDING))
    rows = [(customer, place) for customer in range(1, 6) for place in range(number)]
    wanted = pl.LazyFrame(
        [(row, customer, place) for row, (customer, place) in enumerate(rows)],
        schema={ENTRY: pl.Int64(), CUSTOMER: pl.Int64(), NUMBER: pl.Int64()},
        orient="row",
    )
    for value, width in ((AT, DAY), (STANDING, 2**25)):
        found = standing.best(kept, wanted, value, width, length).collect()
        got = dict(found.group_by(ENTRY, maintain_order=True).agg(CODE).iter_rows())
        for row, (customer, place) in enumerate(rows):
            assert got.get(row, []) == best(bought, customer, micros(times[place]), value, length), (value, customer)


def best(bought: list[Purchase], customer: int, at: int, value: str, length: int) -> list[int]:
    times = count(bought, customer, at)
    day = HALF_LIFE // timedelta(microseconds=1)
    weights = {code: sum(0.5 ** ((at - time) / day) for time in found) for code, found in times.items()}
    worth = {code: float(max(found)) for code, found in times.items()} if value == AT else weights
    return sorted(times, key=lambda code: (-worth[code], code))[:length]


def test_a_purchase_stands_until_the_next_one_of_the_same_thing() -> None:
    times = snapshots(3)
    first, second = micros(times[0]), micros(times[1]) + 1
    made = standing.states(frame([(1, 7, first), (1, 7, second), (2, 7, first - 1)]), asked(times), ["weight"])
    found = made.sort(THING, AT).select(AT, NEXT, NUMBER, UNTIL, FIRST).collect().rows()
    # What is bought at a snapshot's very moment the next one is the first to see.
    assert found == [
        (first, second, 1, 2, True),
        (second, None, 2, None, False),
        (first - 1, None, 0, None, True),
    ]


def test_weights_are_read_back_as_of_any_time() -> None:
    times = [micros(START + timedelta(days=days)) for days in (0, 20, 60)]
    made = pl.DataFrame({AT: times}).select(
        standing.weight(standing.standing(standing.grown(pl.col(AT), HALF_LIFE)), pl.lit(times[-1]), HALF_LIFE)
    )
    assert made.to_series().to_list() == pytest.approx([0.125, 0.25, 1.0], rel=1e-7)
