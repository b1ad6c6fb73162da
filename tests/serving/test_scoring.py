"""Scores over real packed rows: right, in order, and honest about what is missing."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

from motherlode import bundle, bundles
from motherlode.api import Campaign, Score, ScoreAnswer, ScoreRequest
from motherlode.runtime import Runtime
from serving.engine import Engine
from serving.reading import connect
from serving.scoring import UnknownCampaignError

if TYPE_CHECKING:
    from tests.serving.conftest import Company

DAY_S = 86_400
Ask = Callable[..., list[Score]]


@pytest.fixture
def ask(company: "Company") -> Ask:
    """Scores of customers, by an engine of the company's bundle."""
    loaded = bundle.load(bundles.current(company.settings.models))

    async def score(ids: tuple[int | str, ...], campaign: str | None) -> ScoreAnswer:
        client = connect(company.settings)
        try:
            engine = Engine(company.settings, loaded, Runtime(loaded), client)
            return await engine.score(ScoreRequest(ids, None if campaign is None else Campaign(campaign)))
        finally:
            await client.aclose()

    return lambda *ids, campaign="Type A": asyncio.run(score(ids, campaign)).results


def test_a_known_customer_gets_what_the_models_say(ask: Ask, expected: Mapping[str, float]) -> None:
    (score,) = ask(1)
    assert score.status == "ok"
    assert score.segment is not None
    assert (score.segment.id, score.segment.name) == (expected["segment"], "Loyal")
    assert score.scores["response"] == pytest.approx(expected["response"], abs=1e-6)
    assert score.scores["inactive_28d"] == pytest.approx(expected["inactive_28d"], abs=1e-6)
    assert score.features_age_s is not None
    assert 60 <= score.features_age_s < 120
    assert score.notes == []


def test_ids_keep_their_type_their_order_and_their_duplicates(ask: Ask) -> None:
    results = ask("abc", 2, 1, "1", 2, 77)
    assert [each.customer_id for each in results] == ["abc", 2, 1, "1", 2, 77]
    assert results[2].scores == results[3].scores, "7 and '7' are the same customer"
    assert [each.status for each in results] == ["ok"] * 5 + ["cold"]


def test_nobody_asked_for_is_nobody_answered(ask: Ask) -> None:
    assert ask() == []


def test_an_unknown_customer_is_cold_and_has_no_scores(ask: Ask) -> None:
    (score,) = ask("nobody")
    assert (score.status, score.segment, score.features_age_s) == ("cold", None, None)
    assert score.scores == {"response": None, "inactive_28d": None}
    assert score.notes


def test_an_id_cannot_name_another_key(ask: Ask) -> None:
    assert {each.status for each in ask("1}", "{1}", "rfm/{1", "*", "1|2", "\x00")} == {"cold"}


def test_without_a_campaign_there_is_no_response_score_and_a_note(ask: Ask) -> None:
    (score,) = ask(1, campaign=None)
    assert score.scores["response"] is None
    assert score.scores["inactive_28d"] is not None
    assert score.notes == ["response needs a campaign: give campaign.type, one of Type A, Type B"]


def test_the_campaign_type_moves_the_response_score(ask: Ask) -> None:
    by_type = [ask(1, campaign=kind)[0].scores["response"] for kind in ("Type A", "Type B")]
    assert by_type[0] != by_type[1]


def test_an_unknown_campaign_type_is_refused_naming_the_known(ask: Ask) -> None:
    with pytest.raises(UnknownCampaignError) as caught:
        ask(1, campaign="Type Z")
    assert caught.value.known == ("Type A", "Type B")


def test_a_row_older_than_its_time_to_live_is_stale_and_imputed(company: "Company", ask: Ask) -> None:
    company.client.flushall()
    company.put_customer("1", age_s=36 * DAY_S)
    company.put("spending", "1", basket_value_mean=12.5, trend_4w_12w=0.5)
    (score,) = ask(1)
    assert score.status == "stale"
    assert score.notes == [
        "rfm is stale: 36.0 days old, 35.0 are allowed",
        "imputed: rfm.recency_days, rfm.recency_score",
        "null, as no feature that they read is fresh: segments, inactive_28d",
    ]
    assert score.scores["response"] is not None, "it reads spending too"
    assert (score.segment, score.scores["inactive_28d"]) == (None, None)
    assert score.features_age_s == pytest.approx(36 * DAY_S, abs=60)


def test_a_null_feature_is_imputed_and_named_and_its_neighbour_is_not(company: "Company", ask: Ask) -> None:
    company.put("rfm", "2", age_s=30, recency_days=4.0, recency_score=None)
    one, two = ask(1, 2)
    assert two.status == "ok"
    assert two.notes == ["imputed: rfm.recency_score"]
    assert two.scores["inactive_28d"] != one.scores["inactive_28d"]
    assert one.notes == []


def test_a_damaged_row_is_flagged_never_misread_and_harms_no_neighbour(company: "Company", ask: Ask) -> None:
    before = ask(1)[0].scores
    company.damage("rfm", "2")
    one, two = ask(1, 2)
    assert two.status == "degraded"
    assert "rfm is damaged and was not read" in two.notes
    assert "imputed: rfm.recency_days, rfm.recency_score" in two.notes
    assert one.status == "ok"
    assert one.scores == before


def test_a_row_that_is_missing_in_one_view_degrades(company: "Company", ask: Ask) -> None:
    company.put("rfm", "half", recency_days=1.0, recency_score=1)
    (score,) = ask("half")
    assert (score.status, score.notes[0]) == ("degraded", "spending has no row")


def test_scores_do_not_depend_on_the_batch(ask: Ask) -> None:
    alone = [ask(each)[0].scores for each in (1, 2, "abc")]
    assert [each.scores for each in ask(1, 2, "abc")] == alone
