"""Visits, against a slow and obvious reference, and the figures made of them."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.warehouse import sessions
from feature_repo.warehouse.contract import SCHEMAS
from motherlode import names

GAP = 30.0
START = datetime(2024, 1, 31, 23, 0, tzinfo=UTC)

Event = dict[str, Any]


def event(minute: float, customer: str | None = None, visitor: str | None = None, **more: Any) -> Event:
    row: Event = dict.fromkeys(SCHEMAS[names.INTERACTIONS])
    row |= {names.CUSTOMER_ID: customer, names.VISITOR_ID: visitor, names.EVENT_TYPE: "view"}
    return row | {names.EVENT_TIMESTAMP: START + timedelta(minutes=minute)} | more


def frame(events: list[Event]) -> pl.LazyFrame:
    return pl.LazyFrame(events, schema=SCHEMAS[names.INTERACTIONS])


def assigned(events: list[Event], gap: float = GAP) -> list[str | None]:
    return sessions.assign(frame(events), gap).collect()[names.SESSION_ID].to_list()


def summary(events: list[Event]) -> list[Event]:
    visits = sessions.summarise(sessions.assign(frame(events), GAP)).collect()
    assert visits.schema == SCHEMAS[names.SESSIONS]
    return visits.sort(names.STARTED_AT, names.SESSION_ID).to_dicts()


# A slow reference: one row at a time, in plain Python.


def runs(rows: list[int], events: list[Event], gap: timedelta) -> list[list[int]]:
    """Rows, sorted by time, cut wherever two neighbours are further apart than the gap."""
    found: list[list[int]] = []
    for row in rows:
        if found and events[row][names.EVENT_TIMESTAMP] - events[found[-1][-1]][names.EVENT_TIMESTAMP] <= gap:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def identified(events: list[Event], gap: timedelta) -> list[str | None]:
    customers = [it[names.CUSTOMER_ID] for it in events]
    for visitor in {it[names.VISITOR_ID] for it in events} - {None}:
        rows = [n for n, it in enumerate(events) if it[names.VISITOR_ID] == visitor and it[names.SESSION_ID] is None]
        rows.sort(
            key=lambda n: (
                events[n][names.EVENT_TIMESTAMP],
                events[n][names.CUSTOMER_ID] is None,
                events[n][names.CUSTOMER_ID] or "",
            )
        )
        for run in runs(rows, events, gap):
            for place, row in enumerate(run):
                if events[row][names.CUSTOMER_ID] is None:
                    before = [events[n][names.CUSTOMER_ID] for n in run[:place]]
                    after = [events[n][names.CUSTOMER_ID] for n in run[place:]]
                    told = [who for who in [*reversed(before), *after] if who is not None]
                    customers[row] = told[0] if told else None
    return customers


def visits(events: list[Event], gap: timedelta) -> set[frozenset[int]]:
    customers = identified(events, gap)
    by_person: dict[tuple[str, str | None], list[int]] = {}
    for row, it in enumerate(events):
        if it[names.SESSION_ID] is not None:
            continue
        if customers[row] is not None:
            by_person.setdefault(("customer", customers[row]), []).append(row)
        elif it[names.VISITOR_ID] is not None:
            by_person.setdefault(("visitor", it[names.VISITOR_ID]), []).append(row)
    found = set()
    for rows in by_person.values():
        rows.sort(key=lambda n: events[n][names.EVENT_TIMESTAMP])
        found |= {frozenset(run) for run in runs(rows, events, gap)}
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    people = st.sampled_from([None, "a", "b"])
    session = st.sampled_from([None, None, None, None, "s1"])
    minutes = st.one_of(st.integers(0, 200), st.sampled_from([0, 30, 60, 60.5, 90.0]))
    return draw(
        st.lists(
            st.builds(
                lambda minute, customer, visitor, given: event(minute, customer, visitor, session_id=given),
                minutes,
                people,
                people,
                session,
            ),
            max_size=25,
        )
    )


@settings(max_examples=400, deadline=None)
@given(histories(), st.sampled_from([30.0, 0.5, 0.0, 45.5]))
def test_visits_are_those_of_the_reference(events: list[Event], gap: float) -> None:
    ids = assigned(events, gap)
    found: dict[str, set[int]] = {}
    for row, (it, session) in enumerate(zip(events, ids, strict=True)):
        if it[names.SESSION_ID] is not None:
            assert session == it[names.SESSION_ID]
        elif session is not None:
            found.setdefault(session, set()).add(row)
    assert {frozenset(rows) for rows in found.values()} == visits(events, timedelta(minutes=gap))


@settings(max_examples=100, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_an_event_s_session_does_not_depend_on_the_order_of_the_rows(events: list[Event], random: Any) -> None:
    order = list(range(len(events)))
    random.shuffle(order)
    ids = assigned(events)
    assert assigned([events[n] for n in order]) == [ids[n] for n in order]


@settings(max_examples=100, deadline=None)
@given(histories())
def test_a_session_s_figures_are_those_of_its_events(events: list[Event]) -> None:
    ids = assigned(events)
    for visit in summary(events):
        rows = [it for it, session in zip(events, ids, strict=True) if session == visit[names.SESSION_ID]]
        times = [it[names.EVENT_TIMESTAMP] for it in rows]
        assert (visit[names.STARTED_AT], visit[names.ENDED_AT]) == (min(times), max(times))
        assert visit[names.EVENT_TIMESTAMP] == max(times)
        assert visit[names.DWELL_SECONDS] == (max(times) - min(times)).total_seconds()
        assert visit[names.EVENTS] == len(rows) == visit[names.PAGE_VIEWS]
        assert visit[names.BOUNCED] == (len(rows) == 1)
        assert visit[names.CUSTOMER_ID] in {it[names.CUSTOMER_ID] for it in rows}


def test_a_pause_of_exactly_the_gap_stays_in_the_visit_and_a_microsecond_more_ends_it() -> None:
    kept = assigned([event(0, "a"), event(30, "a")])
    assert kept[0] == kept[1]
    parted = assigned([event(0, "a"), event(30, "a", event_timestamp=START + timedelta(minutes=30, microseconds=1))])
    assert parted[0] != parted[1]


def test_an_unknown_visitor_who_is_identified_later_was_that_customer_from_the_first_event_on() -> None:
    ids = assigned([event(0, visitor="v"), event(5, visitor="v"), event(9, "a", "v"), event(50, visitor="v")])
    assert ids[0] == ids[1] == ids[2] != ids[3]
    first, second = summary([event(0, visitor="v"), event(9, "a", "v"), event(50, visitor="v")])
    assert (first[names.CUSTOMER_ID], first[names.EVENTS]) == ("a", 2)
    assert (second[names.CUSTOMER_ID], second[names.VISITOR_ID]) == (None, "v")


def test_two_customers_on_one_device_are_two_visits() -> None:
    events = [event(0, "a", "v"), event(1, visitor="v"), event(2, "b", "v"), event(3, visitor="v")]
    ids = assigned(events)
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_a_customer_s_two_devices_at_once_are_one_visit() -> None:
    ids = assigned([event(0, "a", "phone"), event(5, "a", "desktop"), event(8, "a")])
    assert len(set(ids)) == 1


def test_a_visit_across_a_month_s_end_is_one() -> None:
    ids = assigned([event(50, "a"), event(70, "a")])
    assert ids[0] == ids[1]


def test_a_customer_and_a_visitor_of_one_name_are_two() -> None:
    ids = assigned([event(0, customer="7"), event(0, visitor="7")])
    assert ids[0] != ids[1]


def test_ids_are_hex_hold_nobody_s_name_and_never_change() -> None:
    (session,) = assigned([event(0, customer="c0ffee")])
    # Written down once: an id that changed would part every visit from what was made of it.
    assert session == "db94cd1f050c7383413db5d3"


def test_rows_columns_and_order_stay() -> None:
    events = [event(40, "b", page="/3"), event(0, "a", page="/1"), event(5, "a", page="/2", item_id="9")]
    before, after = frame(events).collect(), sessions.assign(frame(events), GAP).collect()
    assert after.drop(names.SESSION_ID).equals(before.drop(names.SESSION_ID))
    assert after.schema == before.schema


def test_events_of_nobody_have_no_session_and_are_in_no_summary() -> None:
    assert assigned([event(0), event(1, "a")])[0] is None
    assert len(summary([event(0), event(1, "a")])) == 1


def test_without_events_there_are_no_sessions() -> None:
    assert summary([]) == []


def test_pages_are_the_first_and_the_last_that_are_known_in_the_frame_s_order_at_one_moment() -> None:
    (visit,) = summary(
        [
            event(0, "a", event_type="click"),
            event(0, "a", page="/first"),
            event(0, "a", page="/second"),
            event(1, "a", page="/last", event_type="cart"),
            event(2, "a", event_type="search", search_terms="shoes"),
        ]
    )
    assert (visit[names.ENTRY_PAGE], visit[names.EXIT_PAGE]) == ("/first", "/last")
    assert (visit[names.PAGE_VIEWS], visit[names.SEARCHES], visit[names.CARTS], visit[names.EVENTS]) == (2, 1, 1, 5)
    assert not visit[names.BOUNCED]


@pytest.mark.parametrize(("event_type", "bounced"), [("view", True), ("search", False), ("click", False)])
def test_a_bounce_is_one_page_view_and_nothing_else(event_type: str, bounced: bool) -> None:
    (visit,) = summary([event(0, "a", event_type=event_type)])
    assert visit[names.BOUNCED] is bounced


def web_day(events: list[Event], time_zone: str = "UTC") -> list[Event]:
    whole = sessions.assign(frame(events), GAP)
    days = sessions.daily(sessions.summarise(whole), whole, time_zone).collect()
    assert days.schema == sessions.WEB_DAILY
    return days.to_dicts()


def test_a_day_counts_its_views_visitors_visits_bounces_and_dwell() -> None:
    first, second = web_day(
        [
            event(0, visitor="v"),
            event(10, "a", "v"),
            event(20, visitor="w"),
            event(55, "a", "v", event_type="search"),
            # Past midnight: the visit goes on from the day before, and its customer is seen on both days.
            event(65, "a", "v"),
        ]
    )
    assert first == {
        "date": date(2024, 1, 31),
        "page_views": 3,
        "unique_visitors": 2,
        "sessions": 3,
        "bounces": 1,
        "bounce_rate": pytest.approx(1 / 3),
        "dwell_seconds_mean": pytest.approx((600 + 0 + 600) / 3),
    }
    assert second == {
        "date": date(2024, 2, 1),
        "page_views": 1,
        "unique_visitors": 1,
        "sessions": 0,
        "bounces": 0,
        "bounce_rate": None,
        "dwell_seconds_mean": None,
    }


def test_a_device_that_is_identified_once_a_day_is_one_visitor_of_that_day() -> None:
    """Two visits from one device, the customer logged in during one; a second device, never; the next day nobody."""
    days = web_day([event(-900, "a", "v"), event(-600, visitor="v"), event(-590, visitor="w"), event(600, visitor="v")])
    assert [it["unique_visitors"] for it in days] == [2, 1]


def test_a_day_ends_at_the_company_s_midnight() -> None:
    assert [it["date"] for it in web_day([event(0, "a")], "Asia/Shanghai")] == [date(2024, 2, 1)]


def test_without_events_there_are_no_days() -> None:
    assert web_day([]) == []


def test_terms_are_counted_by_day_whatever_their_case_and_spaces() -> None:
    asked = ["Red  Shoes", " red shoes", "milk", "", None, "跑鞋"]
    events = sessions.assign(frame([event(n, "a", search_terms=words) for n, words in enumerate(asked)]), GAP)
    found = sessions.terms(events).collect()
    assert found.schema == sessions.SEARCH_DAILY
    day = date(2024, 1, 31)
    assert found.rows() == [(day, "red shoes", 2, 1), (day, "milk", 1, 1), (day, "跑鞋", 1, 1)]


def test_consecutive_events_of_a_session_are_never_further_apart_than_the_gap() -> None:
    events = [event(step * 7 % 400, "a", "v") for step in range(60)]
    whole = sessions.assign(frame(events), GAP).collect()
    for _, visit in whole.group_by(names.SESSION_ID):
        times = visit[names.EVENT_TIMESTAMP].sort().to_list()
        assert all(later - earlier <= timedelta(minutes=GAP) for earlier, later in pairwise(times))
