"""What a call can end in."""

import pickle

from motherlode.client import ApiError, OverloadedError
from motherlode.errors import MotherlodeError


def test_an_error_says_what_was_asked_what_came_and_what_to_do() -> None:
    error = OverloadedError("POST /v1/score", 429, "$", "Too many ask.", "Ask less.", "r-1", 4)
    assert str(error) == "POST /v1/score was answered 429 after 4 tries: Too many ask. ($) [request r-1] Ask less."
    assert isinstance(error, ApiError)
    assert isinstance(error, MotherlodeError)


def test_an_error_crosses_from_one_process_to_another() -> None:
    error = OverloadedError("POST /v1/score", 429, "$", "Too many ask.", "Ask less.", "r-1", 4)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is OverloadedError
    assert (vars(back), str(back)) == (vars(error), str(error))
