"""Nothing is learnt from the present or the future, and the answer depends on no order of rows."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from feature_repo.warehouse import contract
from feature_repo.warehouse.impute import MISSING, fill, filling
from feature_repo.warehouse.mapping.model import Impute
from motherlode.errors import DataError

START = datetime(2024, 1, 1, tzinfo=UTC)
STATISTICS = {
    "amount": Impute(by="mean", within=["shop"]),
    "pieces": Impute(by="median"),
    "channel": Impute(by="mode", within=["shop"]),
}
MODELS = {
    "amount": Impute(by="model", using=["shop", "pieces"]),
    "channel": Impute(by="model", using=["shop", "amount"]),
    "returned": Impute(by="model", using=["amount", "channel"]),
}

Row = tuple[int, str | None, float | None, int | None, str | None, bool | None]

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "at": contract.UTC,
    "shop": pl.String,
    "amount": pl.Float64,
    "pieces": pl.Int64,
    "channel": pl.String,
    "returned": pl.Boolean,
}


def frame(rows: list[Row]) -> pl.DataFrame:
    dated = [(START + timedelta(days=day), *rest) for day, *rest in rows]
    return pl.DataFrame(dated, schema=SCHEMA, orient="row").with_row_index("row")


def amounts() -> st.SearchStrategy[float]:
    return st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))


ROWS: st.SearchStrategy[Row] = st.tuples(
    st.integers(0, 150),
    st.none() | st.sampled_from("ab"),
    st.none() | amounts(),
    st.none() | st.integers(-5, 5),
    st.none() | st.sampled_from(["web", "store"]),
    st.none() | st.booleans(),
)


def drawn(count: int, seed: int) -> pl.DataFrame:
    """Rows of five months in which the amount follows from shop and pieces; a fifth of each column is missing."""
    base = pl.DataFrame({"n": pl.Series(range(count), dtype=pl.Int64)}).with_columns(
        *(pl.col("n").hash(seed + salt).mod(1000).cast(pl.Int64).alias(f"h{salt}") for salt in range(6))
    )
    made = base.select(
        (pl.lit(START).cast(contract.UTC) + pl.duration(days=pl.col("h0") * 150 // 1000)).alias("at"),
        (pl.lit("s") + (pl.col("h1") % 7).cast(pl.String)).alias("shop"),
        ((pl.col("h1") % 7) * 10 + (pl.col("h2") % 5)).cast(pl.Float64).alias("amount"),
        (pl.col("h2") % 5).alias("pieces"),
        pl.when(pl.col("h1") % 7 < 3).then(pl.lit("web")).otherwise(pl.lit("store")).alias("channel"),
        (pl.col("h1") % 7 < 2).alias("returned"),
    )
    holes = made.with_columns(
        pl.when(base[f"h{salt}"] % 5 != 0).then(pl.col(column)).alias(column)
        for salt, column in ((3, "amount"), (4, "channel"), (5, "returned"))
    )
    return holes.with_row_index("row")


def test_the_first_month_stays_null_and_its_flag_says_so() -> None:
    out, counts = fill(frame([(0, "a", None, 1, "web", True), (30, "a", 5.0, 1, "web", True)]), STATISTICS, "at")
    assert out["amount"].to_list() == [None, 5.0]
    assert out["amount" + MISSING].to_list() == [True, False]
    assert counts == {"amount": 0, "pieces": 0, "channel": 0}


def test_each_statistic_is_taken_among_like_rows_of_earlier_months_or_else_among_all() -> None:
    rows: list[Row] = [
        (0, "a", 10.0, 1, "web", None),
        (1, "a", 20.0, 2, "web", None),
        (2, "b", 60.0, 9, "store", None),
        (40, "a", None, None, None, None),
        (41, "c", None, None, None, None),  # no shop like it before
        (42, None, None, None, None, None),
        (43, "a", 1e6, 99, "phone", None),  # the same month: not learnt from
    ]
    out, counts = fill(frame(rows), STATISTICS, "at")
    assert out["amount"].to_list()[3:6] == [15.0, 30.0, 30.0]
    assert out["pieces"].to_list()[3:6] == [2, 2, 2]
    assert out["channel"].to_list()[3:6] == ["web", "web", "web"]
    assert counts == {"amount": 3, "pieces": 3, "channel": 3}
    assert out["amount" + MISSING].to_list() == [False, False, False, True, True, True, False]


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=40), later=st.lists(ROWS, max_size=40), day=st.integers(0, 150))
def test_no_row_of_this_month_or_later_changes_a_value(rows: list[Row], later: list[Row], day: int) -> None:
    """Whatever comes from a month on is replaced: all filled in before, and in that month itself, stays as it was."""
    cut = (START + timedelta(days=day)).replace(day=1)
    end = (cut + timedelta(days=32)).replace(day=1)
    first = frame(rows)
    month = first.filter((pl.col("at") >= cut) & (pl.col("at") < end))
    # Of the month in question only the rows with nothing known stay: all that could be learnt from it is gone.
    asked = month.with_columns(pl.lit(None).cast(SCHEMA[column]).alias(column) for column in STATISTICS)
    earlier = first.filter(pl.col("at") < cut)
    changed = frame(later).filter(pl.col("at") >= cut).with_columns(pl.col("row") + 1_000)
    alone, _ = fill(pl.concat([earlier, asked]), STATISTICS, "at")
    beside, _ = fill(pl.concat([changed, earlier, asked]), STATISTICS, "at")
    assert_frame_equal(alone.sort("row"), beside.filter(pl.col("row") < 1_000).sort("row"), check_exact=True)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=60), time=st.sampled_from(["at", None]), seed=st.integers(0, 99))
def test_shuffled_rows_get_the_same_bits(rows: list[Row], time: str | None, seed: int) -> None:
    given_rows = frame(rows)
    shuffled = given_rows.sample(fraction=1.0, shuffle=True, seed=seed)
    straight, counts = fill(given_rows, STATISTICS, time)
    again, recounted = fill(shuffled, STATISTICS, time)
    assert_frame_equal(straight, again.sort("row"), check_exact=True)
    assert counts == recounted


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=60))
def test_month_by_month_with_the_filled_past_gives_what_one_frame_gives(rows: list[Row]) -> None:
    """What an earlier load filled in, flagged, is never learnt from."""
    whole, _ = fill(frame(rows), STATISTICS, "at")
    done: list[pl.DataFrame] = []
    for _, part in sorted(frame(rows).group_by(pl.col("at").dt.truncate("1mo")), key=lambda month: month[0]):
        done.append(fill(part, STATISTICS, "at", pl.concat(done) if done else None)[0])
    assert_frame_equal(whole.sort("row"), pl.concat(done).sort("row"), check_exact=True)


def test_models_learn_the_past_alone_and_know_no_order() -> None:
    made = drawn(900, 1)
    out, counts = fill(made, MODELS, "at")
    april = datetime(2024, 4, 1, tzinfo=UTC)
    upset = made.with_columns(
        pl.when(pl.col("at") < april).then(pl.col("amount")).otherwise(pl.col("amount") * -99).alias("amount"),
        pl.when(pl.col("at") < april).then(pl.col("channel")).otherwise(pl.lit("phone")).alias("channel"),
    )
    again, _ = fill(upset.sample(fraction=1.0, shuffle=True, seed=5), MODELS, "at")
    before = pl.col("at") < april
    assert_frame_equal(out.filter(before).sort("row"), again.filter(before).sort("row"), check_exact=True)
    first = out.filter(pl.col("at") < datetime(2024, 2, 1, tzinfo=UTC))
    assert (
        first["amount"].null_count() == made.filter(pl.col("row").is_in(first["row"].implode()))["amount"].null_count()
    )
    assert min(counts.values()) > 0


def test_a_model_finds_what_follows_from_its_inputs_where_a_mean_does_not() -> None:
    made = drawn(3000, 2)
    missing = made.filter(pl.col("amount").is_null())
    truth = missing.select("row", (pl.col("shop").str.slice(1).cast(pl.Int64) * 10 + pl.col("pieces")).alias("truth"))

    def error(spec: Impute) -> float:
        out, _ = fill(made, {"amount": spec}, None)
        return float(out.join(truth, on="row").select((pl.col("amount") - pl.col("truth")).abs().mean()).item())

    assert error(MODELS["amount"]) < 1
    assert error(Impute(by="mean")) > 10
    out, _ = fill(made, {name: MODELS[name] for name in ("channel", "returned")}, None)
    shop = pl.col("shop").str.slice(1).cast(pl.Int64)
    told = out.filter(pl.col("channel" + MISSING)).select(((pl.col("channel") == "web") == (shop < 3)).mean()).item()
    assert told > 0.95


def test_a_model_takes_inputs_of_every_type_with_nulls_and_a_text_of_many_values() -> None:
    count = 600
    rows = pl.DataFrame(
        {
            "y": [None if n % 9 == 0 else float(n % 60) for n in range(count)],
            "item": [None if n % 50 == 0 else f"i{n % 60}" for n in range(count)],
            "day": [date(2024, 1, 1) + timedelta(days=n % 7) for n in range(count)],
            "at": [START + timedelta(hours=n % 60) for n in range(count)],
            "flag": [None if n % 7 == 0 else n % 2 == 0 for n in range(count)],
            "empty": pl.Series([None] * count, dtype=pl.String),
            "class": [None if n % 11 == 0 else f"c{n % 60 // 15}" for n in range(count)],
        }
    )
    using = ["item", "day", "at", "flag", "empty"]
    out, counts = fill(rows, {name: Impute(by="model", using=using) for name in ("y", "class")}, None)
    assert counts == {"y": rows["y"].null_count(), "class": rows["class"].null_count()}
    wrong = out.with_row_index("n").filter(pl.col("y" + MISSING)).select((pl.col("y") - pl.col("n") % 60).abs().mean())
    assert wrong.item() < 4
    assert set(out["class"]) == {"c0", "c1", "c2", "c3"}


def test_a_column_may_have_any_name() -> None:
    columns = ("n", "value", "class", "row", "text", "mean", "target", "count", "index")
    rows = pl.DataFrame({name: [f"{name}{n % 3}" if n % 10 else None for n in range(100)] for name in columns})
    for by in ("mode", "model"):
        specs = {
            name: Impute(by=by, using=[other], within=[other] if by == "mode" else [])
            for name, other in zip(columns, columns[1:] + columns[:1], strict=True)
        }
        assert fill(rows, specs, None)[1] == dict.fromkeys(columns, 10)


def test_few_known_values_are_no_ground_for_trees() -> None:
    out, _ = fill(
        pl.DataFrame({"y": [1, 2, 30, None], "x": [1, 2, 3, 4]}), {"y": Impute(by="model", using=["x"])}, None
    )
    assert out["y"].to_list() == [1, 2, 30, 2]
    same = pl.DataFrame({"y": ["a"] * 30 + [None], "x": range(31)})
    assert fill(same, {"y": Impute(by="model", using=["x"])}, None)[0]["y"][-1] == "a"


def test_a_rule_sees_its_row_alone_and_fails_to_null() -> None:
    rows = pl.DataFrame(
        {"total": [None, None, None, 7.0], "pieces": [2, None, 3, 1], "price": ["1.5", "2", "dear", "9"]}
    )
    spec = Impute(by="rule", sql="pieces * TRY_CAST(price AS DOUBLE)")
    out, counts = fill(rows, {"total": spec}, None)
    assert out["total"].to_list() == [3.0, None, None, 7.0]
    assert out["total" + MISSING].to_list() == [True, True, True, False]
    assert counts == {"total": 1}
    with pytest.raises(DataError, match="more than one row"):
        fill(rows, {"total": Impute(by="rule", sql="AVG(pieces)")}, None)


def test_a_state_is_learnt_from_all_that_is_known_and_from_its_past() -> None:
    rows = pl.DataFrame({"age": [None, 30, None]})
    out, _ = fill(rows, {"age": Impute(by="mean")}, None, pl.DataFrame({"age": [50, 90], "age_missing": [False, True]}))
    assert out["age"].to_list() == [40, 30, 40]


@pytest.mark.parametrize(
    ("values", "by", "wanted"),
    [
        ([date(2024, 1, 1), date(2024, 1, 4)], "mean", date(2024, 1, 2)),
        ([START, START + timedelta(seconds=3), START + timedelta(days=9)], "median", START + timedelta(seconds=3)),
        ([True, True, False], "mode", True),
        (["b", "a"], "mode", "a"),
        ([1.0, float("nan"), 3.0, float("inf")], "mean", 2.0),
        ([2, 3], "mean", 2),
    ],
)
def test_a_statistic_keeps_the_columns_type(values: list[Any], by: Any, wanted: object) -> None:
    known = pl.Series("x", values)
    rows = pl.DataFrame([pl.concat([known, pl.Series("x", [None], dtype=known.dtype)])])
    out, counts = fill(rows, {"x": Impute(by=by)}, None)
    assert out["x"].dtype == known.dtype
    assert out["x"][-1] == wanted
    assert counts == {"x": 1}


def test_a_row_without_a_time_is_neither_filled_nor_learnt_from() -> None:
    rows = frame([(0, "a", 1.0, 1, "web", None), (40, "a", None, 1, "web", None), (80, "a", 9.0, 1, "web", None)])
    timeless = rows.with_columns(pl.when(pl.col("row") != 2).then("at").alias("at"))
    lost = pl.concat([timeless, timeless.tail(1).with_columns(pl.lit(None, pl.Float64).alias("amount"))])
    out, _ = fill(lost, {"amount": Impute(by="mean")}, "at")
    assert out["amount"].to_list() == [1.0, 1.0, 9.0, None]


def test_nothing_known_leaves_null_and_an_empty_frame_empty() -> None:
    nulls = pl.DataFrame({"x": pl.Series([None, None], dtype=pl.Float64), "g": ["a", None]})
    out, counts = fill(nulls, {"x": Impute(by="median", within=["g"])}, None)
    assert out["x"].null_count() == 2 and counts == {"x": 0}
    empty, counts = fill(frame([]), STATISTICS, "at", frame([(0, "a", 1.0, 1, "web", None)]))
    assert empty.height == 0 and counts == dict.fromkeys(STATISTICS, 0)
    assert empty.schema["amount" + MISSING] == pl.Boolean


def test_of_too_many_rows_an_even_share_is_taken_in_one_order() -> None:
    rows = pl.DataFrame({"x": range(10_001)})
    taken = filling.ordered(rows.sample(fraction=1.0, shuffle=True, seed=1), 1000)
    assert taken.height <= 1000 and taken.equals(filling.ordered(rows, 1000))
    assert abs(float(str(taken["x"].median())) - 5000) < 20


@pytest.mark.parametrize(
    ("column", "spec", "message"),
    [
        ("nothing", Impute(by="mean"), "no column 'nothing'"),
        ("amount", Impute(by="mean", within=["nothing"]), "no column 'nothing'"),
        ("channel", Impute(by="mean"), "has no mean"),
        ("amount", Impute(by="model"), "without inputs"),
        ("amount", Impute(by="model", using=["amount"]), "from itself"),
        ("at", Impute(by="model", using=["amount"]), "no model predicts times"),
        ("amount", Impute(by="rule"), "there is none"),
    ],
)
def test_what_cannot_be_imputed_is_refused(column: str, spec: Impute, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fill(frame([(0, "a", None, 1, "web", None)]), {column: spec}, "at")
    with pytest.raises(DataError, match="tell when a row happened"):
        fill(frame([]), {}, "when")
