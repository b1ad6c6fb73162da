"""A row of `live`: what events make of it, against a reference that sorts where the code inserts."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.live.state import Row, by_customer, pack, unpack
from feature_repo.live.view import FEATURES
from feature_repo.stores import dtypes
from motherlode import names
from motherlode.events import LIVE, Event
from motherlode.packed import Column
from tests.feature_repo.live.shop import KINDS, expected, known

START = datetime(2026, 5, 1, tzinfo=UTC)

EVENTS = st.lists(
    st.builds(
        lambda kind, second, item, words: (kind, START + timedelta(seconds=second), item, words),
        st.sampled_from(KINDS),
        st.integers(0, 12),
        st.one_of(st.none(), st.integers(0, 30)),
        st.one_of(st.none(), st.integers(0, 8)),
    ),
    max_size=60,
)


def positioned(made: list[tuple[str, datetime, Any, Any]]) -> list[tuple[int, Event]]:
    return [
        (
            10 * i + 1,
            Event(
                event_id=f"e{i}",
                event_type=kind,
                event_timestamp=at,
                customer_id="c",
                item_id=item,
                search_terms=None if words is None else f"wörds {words}",
            ),
        )
        for i, (kind, at, item, words) in enumerate(made)
    ]


def as_landed(events: list[tuple[int, Event]]) -> list[dict[str, Any]]:
    return [
        {
            "position": position,
            names.CUSTOMER_ID: event.customer,
            names.EVENT_TYPE: event.event_type,
            names.EVENT_TIMESTAMP: event.at,
            names.ITEM_ID: event.item,
            names.SEARCH_TERMS: event.search_terms,
        }
        for position, event in events
    ]


@given(EVENTS, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_row_is_what_its_events_come_to_however_they_are_cut_and_whatever_is_read_again(
    made: list[tuple[str, datetime, Any, Any]], cuts: list[tuple[int, int]]
) -> None:
    events = positioned(made)
    row, done = Row(), 0
    for end, again in [*sorted(cuts), (len(events), 0)]:
        end = min(end, len(events))
        taken = [row.count(*each) for each in events[max(0, done - again) : end]]
        assert sum(taken) == end - done
        done = end
        if row.events:
            (read,) = unpack(pack([row]))
            assert read == row
            row = read
    if events:
        packed = pack([row])[0]
        assert known({"c": packed}) == expected(as_landed(events))


def test_a_row_that_cannot_be_read_is_told_from_one_that_is_not_there() -> None:
    row = Row()
    row.count(1, Event(event_id="a", customer_id=1, event_timestamp=START))
    whole = pack([row])[0]
    assert unpack([None, whole[:-1], b"", whole]) == [Row(), None, None, row]


def test_events_of_no_customer_are_in_no_row() -> None:
    mine = Event(event_id="a", customer_id=7, visitor_id="v")
    text = Event(event_id="b", customer_id="7")
    nobodys = Event(event_id="c", visitor_id="v")
    assert by_customer([(1, mine), (2, nobodys), (3, text)]) == {"7": [(1, mine), (3, text)]}


def test_the_packed_columns_are_those_that_feast_is_told() -> None:
    kinds = {
        name: dtypes.KINDS[dtypes.feast_type(feature.dtype).to_value_type()].packed
        for name, feature in FEATURES.items()
    }
    assert LIVE.columns == tuple(Column(name, kinds[name]) for name in sorted(kinds))
