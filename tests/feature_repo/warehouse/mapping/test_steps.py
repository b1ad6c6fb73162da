"""A value that is named more than once is computed once, and an expression's size grows by what is added to it."""

import polars as pl

from feature_repo.warehouse.mapping.steps import Steps, let, let_all

FRAME = pl.DataFrame({"a": [1, None, 3], "b": [10, 20, None]})


def test_a_named_value_is_what_it_would_be_in_its_place() -> None:
    doubled = pl.col("a") * 2
    named = let(doubled, lambda it: pl.when(it > 2).then(it).otherwise(-it))
    plain = pl.when(doubled > 2).then(doubled).otherwise(-doubled)
    for engine in ("in-memory", "streaming"):
        rows = FRAME.lazy().select(named=named, plain=plain).collect(engine=engine)
        assert rows["named"].to_list() == rows["plain"].to_list() == [-2, None, 6]


def test_several_values_are_named_at_once() -> None:
    total = let_all(
        [pl.col("a") + 0, pl.col("b") + 0], lambda of: pl.when(of[0].is_null()).then(of[1]).otherwise(of[0])
    )
    assert FRAME.select(total).to_series().to_list() == [1, 20, 3]


def test_columns_and_constants_need_no_name() -> None:
    assert str(let(pl.col("a"), lambda it: it + it)) == str(pl.col("a") + pl.col("a"))
    assert FRAME.with_columns(c=let(pl.lit(2) + 1, lambda it: it * it))["c"].to_list() == [9, 9, 9]


def test_a_step_sees_the_steps_before() -> None:
    steps = Steps(a=pl.col("a")).then(b=pl.field("a") + 1).then(a=pl.field("a") * pl.field("b"))
    assert FRAME.select(a=steps.get("a"), b=steps.get("b")).rows() == [(2, 2), (None, None), (12, 4)]


def test_size_grows_by_what_is_added() -> None:
    value, sizes = pl.col("a") + 1, []
    for level in range(30):
        value = let(value, lambda it, level=level: pl.when(it > level).then(it + 1).otherwise(it))  # type: ignore[misc]
        sizes.append(len(str(value)))
    assert sizes[-1] - sizes[-2] < 2 * (sizes[1] - sizes[0])
    assert FRAME.lazy().select(value).collect().height == 3
