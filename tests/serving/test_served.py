"""Where a customer stands among all, and what of a request is kept to be asked again."""

from motherlode.api import Campaign, RecommendRequest, ScoreRequest, SimilarRequest
from serving.served import share_of, short


def test_an_id_is_one_customer_whether_it_is_written_as_a_number_or_as_a_text() -> None:
    assert [share_of(each) for each in range(100, 140)] == [share_of(str(each)) for each in range(100, 140)]
    assert share_of(100) == 0.2058, "a replica of another machine, or of tomorrow, says the same"
    assert all(0 <= share_of(each) < 1 for each in range(1000))


def test_of_a_request_that_is_kept_there_are_few_customers_and_all_the_rest() -> None:
    few, many = tuple(range(3)), tuple(range(1000))
    asked = ScoreRequest(few, Campaign("Type A"))
    assert short(asked) is asked
    assert short(ScoreRequest(many, Campaign("Type A"))) == ScoreRequest(many[:8], Campaign("Type A"))
    assert short(RecommendRequest(many, 5)) == RecommendRequest(many[:8], 5)
    assert short(SimilarRequest(many, 5)) == SimilarRequest(many[:8], 5)
