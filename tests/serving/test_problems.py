"""Refusals: the path in the body, the message, the remedy; no exception escapes the decoder."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motherlode.api import MAX_CUSTOMERS, RecommendRequest
from serving import problems
from serving.problems import Refusal
from serving.scoring import UnknownCampaignError

DECODER = msgspec.json.Decoder(RecommendRequest)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=14), inner, max_size=4),
    max_leaves=12,
)


@given(body=st.binary(max_size=60) | JSON.map(lambda value: msgspec.json.encode(value)))
def test_any_body_is_a_request_or_a_refusal_that_names_a_path(body: bytes) -> None:
    try:
        assert isinstance(problems.decode(body, DECODER), RecommendRequest)
    except Refusal as refusal:
        assert refusal.status_code in (400, 422)
        assert refusal.problem.path.startswith("$")
        assert refusal.problem.message
        assert "/docs" in refusal.problem.remedy


def test_the_remedy_names_the_fields() -> None:
    with pytest.raises(Refusal) as caught:
        problems.decode(b'{"ids": [1]}', DECODER)
    assert caught.value.problem.remedy.startswith("Fields: customer_ids, k, exclude_purchased, ")


def test_sizes_at_and_beyond_the_limits() -> None:
    problems.check_size(MAX_CUSTOMERS, 100)
    problems.check_size(1, 10**9)
    for customers, items in ((MAX_CUSTOMERS + 1, 0), (MAX_CUSTOMERS, 101)):
        with pytest.raises(Refusal) as caught:
            problems.check_size(customers, items)
        assert caught.value.status_code == 413


def test_a_bundle_without_campaigns_says_to_leave_it_out() -> None:
    refusal = problems.unknown_campaign(UnknownCampaignError("x", ()), "$.campaign.type")
    assert refusal.problem.remedy == "This bundle's models take no campaign: leave it out."


def test_what_is_not_ours_is_500_without_details() -> None:
    status, answer = problems.answer(RuntimeError("a secret"), "/v1/score")
    assert status == 500
    assert "secret" not in str(answer)
