"""A request is split into what one call takes, and the answers are joined in order; nothing is sent here."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motherlode.api import (
    MAX_BODY,
    ConsentRequest,
    EventsAnswer,
    EventsRequest,
    FeaturesAnswer,
    FeaturesRequest,
    FeatureView,
    RecommendAnswer,
    RecommendRequest,
    ScoreAnswer,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
)
from motherlode.client import UnavailableError, calls
from motherlode.client.retries import Budget, Retries
from motherlode.client.talk import Fault, Manner, Reply, Send, Wait
from motherlode.events import Event

MANNER = Manner(Retries(), Budget())


def talk(talking: Any, answers: Sequence[Any]) -> tuple[list[bytes], Any]:
    """The bodies that are sent, answered in turn, and what comes of it."""
    sent = []
    try:
        step = next(talking)
        for answer in answers:
            assert isinstance(step, Send)
            sent.append(step.question.body or b"")
            step = talking.send(Reply(200, {}, msgspec.json.encode(answer)))
    except StopIteration as done:
        return sent, done.value
    raise AssertionError("it asks for more")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers() | st.text(max_size=8)), st.integers(1, 9), st.integers(0, 60))
def test_parts_are_the_whole_in_order_and_within_the_limits(every: list[Any], most: int, room: int) -> None:
    parts = list(calls._parts(every, most, room))
    assert [each for part in parts for each in part] == every
    assert all(len(part) <= most for part in parts)
    assert all(len(msgspec.json.encode(part)) - 1 <= room for part in parts if len(part) > 1)


@pytest.mark.parametrize(("k", "parts"), [(1, 1), (100, 1), (101, 2), (1000, 10), (2**31 - 1, 10)])
def test_a_recommendation_is_split_by_the_items_that_one_answer_holds(k: int, parts: int) -> None:
    request = RecommendRequest(tuple(range(1000)), k=k)
    sent, _ = talk(calls.recommend(request, MANNER, 9.0), [RecommendAnswer("v1", "cpu", [])] * parts)
    assert [each for body in sent for each in msgspec.json.decode(body)["customer_ids"]] == list(range(1000))


@pytest.mark.parametrize("text", ["x" * 2048, "\x01" * 2048, "ย" * 2048])
def test_events_are_split_by_the_bytes_that_one_body_holds(text: str) -> None:
    events = tuple(Event(event_id=str(i), customer_id=1, page=text, referrer=text) for i in range(900))
    # With as many answers as it has parts: more bytes than a body holds, by however many.
    parts = len(list(calls._bodies(EventsRequest(events), calls.EVENTS, 1000)))
    sent, answer = talk(calls.events(EventsRequest(events), MANNER, 9.0), [EventsAnswer(1, 2)] * parts)
    assert 1 < len(sent) == answer.accepted == answer.duplicates / 2
    assert max(map(len, sent)) <= MAX_BODY
    assert sum(len(msgspec.json.decode(body, type=EventsRequest).events) for body in sent) == 900


def test_nobody_is_still_asked_once_so_that_the_bundle_is_told() -> None:
    sent, answer = talk(calls.score(ScoreRequest(()), MANNER, 9.0), [ScoreAnswer("v1", "cpu", [])])
    assert (len(sent), answer.bundle) == (1, "v1")


def test_an_answer_of_two_bundles_names_both() -> None:
    answers = [ScoreAnswer("v1", "cpu", []), ScoreAnswer("v2", "cpu", []), ScoreAnswer("v1", "cpu", [])]
    _, answer = talk(calls.score(ScoreRequest(tuple(range(2500))), MANNER, 9.0), answers)
    assert (answer.bundle, answer.device) == ("v1, v2", "cpu")


def test_features_that_a_part_has_not_got_are_null_for_its_customers_alone() -> None:
    view = FeatureView(["present"], [1.0], {"age": [7]})
    answers = [FeaturesAnswer("v1", [1, 2], {}, ["Redis is gone"]), FeaturesAnswer("v1", [3], {"rfm": view}, [])]
    _, answer = talk(calls.features(FeaturesRequest(tuple(range(1500))), MANNER, 9.0), answers)
    assert answer.features["rfm"] == FeatureView(
        ["unknown", "unknown", "present"], [None, None, 1.0], {"age": [None, None, 7]}
    )
    assert answer.notes == ["Redis is gone"]


@pytest.mark.parametrize(
    ("customer", "path"),
    [
        (-7, "/v1/customers/-7"),
        ("Zoë/7?#&", "/v1/customers/Zo%C3%AB%2F7%3F%23%26"),
        ("..", "/v1/customers/%2E%2E"),
        ("a\r\nhost: b", "/v1/customers/a%0D%0Ahost%3A%20b"),
    ],
)
def test_a_customer_is_one_segment_of_the_path(customer: int | str, path: str) -> None:
    step = next(calls.portrait(customer, "Type A", None, MANNER, 9.0))
    assert isinstance(step, Send)
    assert step.question.path == f"{path}?campaign_type=Type+A"
    assert step.question.route == "GET /v1/customers/{customer_id}"


def test_a_clients_purpose_is_that_of_requests_that_name_none() -> None:
    manner = Manner(Retries(), Budget(), "marketing")
    named = RecommendRequest((1,), purpose="research")
    for talking, purpose in (
        (calls.score(ScoreRequest((1,)), manner, 9.0), "marketing"),
        (calls.features(FeaturesRequest((1,)), manner, 9.0), "marketing"),
        (calls.recommend(named, manner, 9.0), "research"),
        (calls.score(ScoreRequest((1,)), MANNER, 9.0), None),
    ):
        step = next(talking)
        assert isinstance(step, Send)
        assert msgspec.json.decode(step.question.body or b"").get("purpose") == purpose
    step = next(calls.portrait(1, None, None, manner, 9.0))
    assert isinstance(step, Send)
    assert step.question.path == "/v1/customers/1?purpose=marketing"


def test_consent_is_repeated_only_if_it_says_when() -> None:
    """A repeat that the server dates anew would outrank what the customer said in between."""
    for at, again in ((None, False), (datetime(2026, 1, 1, tzinfo=UTC), True)):
        talking = calls.consent(ConsentRequest(1, "marketing", True, at), MANNER, 9.0)
        next(talking)
        if again:
            assert isinstance(talking.send(Fault("the connection broke")), Wait)
        else:
            with pytest.raises(UnavailableError):
                talking.send(Fault("the connection broke"))


def test_similar_items_are_split_by_what_one_call_takes() -> None:
    answers = [SimilarAnswer("v1", "cpu", [])] * 3
    sent, _ = talk(calls.similar_items(SimilarRequest(tuple(range(250)), k=3), MANNER, 9.0), answers)
    assert [each for body in sent for each in msgspec.json.decode(body)["item_ids"]] == list(range(250))
