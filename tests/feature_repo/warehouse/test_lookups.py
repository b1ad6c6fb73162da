"""Keys by which rows are looked up."""

import polars as pl
import pytest

from feature_repo.warehouse import lookups
from feature_repo.warehouse.mapping.model import Join


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([7, None], ["7", None]),
        ([7.0, 7.5, None], ["7", "7.5", None]),
        ([" 7 ", "", None, "a"], ["7", None, None, "a"]),
    ],
)
def test_a_key_is_compared_as_text_whatever_a_file_holds_it_as(values: list[object], texts: list[str | None]) -> None:
    frame = pl.DataFrame({"k": values})
    assert frame.select(lookups.text_key(frame.schema["k"], "k").alias("t"))["t"].to_list() == texts


def test_on_may_be_one_column_several_or_pairs() -> None:
    assert lookups.pairs(Join(source="goods", on="id")) == {"id": "id"}
    assert lookups.pairs(Join(source="goods", on=["a", "b"])) == {"a": "a", "b": "b"}
    assert lookups.pairs(Join(source="goods", on={"item": "number"})) == {"item": "number"}
