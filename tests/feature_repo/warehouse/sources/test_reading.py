"""What readers share: names that are all different, and lines that are cut where they are long."""

from hypothesis import given
from hypothesis import strategies as st

from feature_repo.warehouse.sources.reading import LONGEST, shortened, unique

_NAME = st.sampled_from(["a", "a_2", "a_3", " a ", "", "column_1", "column_2", "_row"])


@given(st.lists(_NAME, max_size=8))
def test_names_are_different_not_empty_and_stay_where_they_can(names: list[str]) -> None:
    how: dict[str, str] = {}
    made = unique(names, how, frozenset({"_row"}))
    assert len(set(made)) == len(made) == len(names)
    assert all(made) and "_row" not in made
    kept = [name.strip() == new for name, new in zip(names, made, strict=True)]
    assert all(kept) == ("renamed" not in how)
    for name in {name.strip() for name in names} - {"", "_row"}:
        assert name in made


def test_a_long_line_says_how_long_it_was() -> None:
    assert shortened("x" * LONGEST) == "x" * LONGEST
    assert shortened("x" * (LONGEST + 1)).endswith(f"… ({LONGEST + 1} characters)")
