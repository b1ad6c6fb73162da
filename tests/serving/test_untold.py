"""The newest words of the ledger: the newest of each customer, a bounded number, read from the end."""

from pathlib import Path

import pytest

from motherlode.consent import Ledger, Word
from motherlode.errors import DataError
from motherlode.settings import Settings
from serving import untold
from serving.untold import Untold

AT = 1_763_000_000_000


def word(customer: str, granted: bool, at: int, purpose: str = "marketing") -> Word:
    return Word(customer, purpose, granted, at)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(untold, "_EVERY_S", 0.0)
    return Settings(home=tmp_path)


def test_of_each_customer_and_purpose_the_newest_counts_in_whatever_order_words_come(settings: Settings) -> None:
    ledger, known = Ledger(settings), Untold(settings)
    assert known.of("marketing") == {}
    ledger.add([word("a", True, AT), word("a", False, AT - 1), word("b", False, AT), word("c", True, AT, "profiling")])
    assert (known.of("marketing"), known.of("profiling")) == ({"a": AT, "b": -AT}, {"c": AT})
    ledger.add([word("a", False, AT), word("b", True, AT)])
    assert known.of("marketing") == {"a": -AT, "b": -AT}, "of two of one time the withdrawal"


def test_only_the_newest_are_remembered_and_only_the_end_is_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untold, "_MOST", 3)
    monkeypatch.setattr(untold, "_BYTES", 1_000)
    ledger, known = Ledger(settings), Untold(settings)
    ledger.add([word(str(number), False, AT + number) for number in range(100)])
    assert list(known.of("marketing")) == ["97", "98", "99"]
    ledger.add([word("97", True, AT + 100)])
    ledger.add([word("100", False, AT + 101)])
    assert list(known.of("marketing")) == ["97", "99", "100"], "98 was said longest ago"


def test_a_line_that_is_being_written_is_none_yet_and_damage_stops_no_answer(settings: Settings) -> None:
    ledger, known = Ledger(settings), Untold(settings)
    ledger.add([word("a", False, AT)])
    path = settings.home / "consent" / "ledger.jsonl"
    with path.open("ab") as file:
        file.write(b'{"customer"')
    assert known.of("marketing") == {"a": -AT}
    ledger.add([word("b", False, AT)])
    assert known.of("marketing") == {"a": -AT, "b": -AT}
    with path.open("ab") as file:
        file.write(b"what is this?\n\xff\n")
    ledger.add([word("c", False, AT)])
    assert known.of("marketing") == {"a": -AT, "b": -AT, "c": -AT}, "what stands beside a damaged line counts"
    assert Untold(settings).of("marketing") == known.of("marketing")
    with pytest.raises(DataError, match="Line 3 "):
        Ledger(settings).fresh()
