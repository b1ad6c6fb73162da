"""Consent over HTTP: who withdrew gets no personal answer by any route, at once; where nobody can tell, nobody does."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from motherlode import consent, names, people
from motherlode.consent import Ledger, Word
from motherlode.online.reader import now_us
from motherlode.online.tombstones import Tombstones, of_customer
from motherlode.settings import Settings
from serving.consent import Consents, Keeper
from serving.http import build

if TYPE_CHECKING:
    from tests.serving.conftest import Company

Client = TestClient[Litestar]


class Here:
    """An application that is called from this machine."""

    def __init__(self, application: Any, address: str) -> None:
        self.application, self.address = application, address

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["client"] = (self.address, 50000)
        await self.application(scope, receive, send)


def asked(settings: Settings, address: str = "127.0.0.1") -> Client:
    Keeper(settings).keep_up()  # as the application does when it starts, a moment later
    return TestClient(Here(build(settings), address))  # type: ignore[arg-type]


@pytest.fixture
def client(company: "Company") -> Iterator[Client]:
    with asked(company.settings) as made:
        yield made


def say(client: Client, customer: int | str, granted: bool, purpose: str = "marketing", **more: Any) -> Any:
    body = {"customer_id": customer, "purpose": purpose, "granted": granted, **more}
    return client.post("/v1/consent", json=body)


def statuses(client: Client, purpose: str = "marketing", customers: tuple[Any, ...] = (1, 2)) -> list[str]:
    answer = client.post("/v1/score", json={"customer_ids": customers, "purpose": purpose})
    assert answer.status_code == 200, answer.text
    return [each["status"] for each in answer.json()["results"]]


def test_who_withdrew_gets_no_personal_answer_by_any_route_and_others_do(client: Client) -> None:
    assert statuses(client) == ["ok", "ok"], "opt-out: who said nothing is answered"
    assert say(client, 1, False).status_code == 200
    body = {"customer_ids": [1, 2], "purpose": "marketing"}
    mine, other = client.post("/v1/score", json=body).json()["results"]
    assert (mine["status"], mine["segment"], mine["features_age_s"]) == ("withheld", None, None)
    assert set(mine["scores"].values()) == {None}
    assert mine["notes"] == ["there is no consent to 'marketing'"]
    assert (other["status"], other["segment"]["name"]) == ("ok", "Loyal")

    mine, other = client.post("/v1/recommend", json=body).json()["results"]
    assert (mine["status"], mine["source"], other["source"]) == ("withheld", "popular", "personal")
    assert "there is no consent to 'marketing'" in mine["notes"]
    nobody = client.post("/v1/recommend", json={"customer_ids": ["nobody"]}).json()["results"][0]
    assert mine["items"] == nobody["items"], "what anybody gets"

    answer = client.post("/v1/features", json=body).json()
    assert answer["notes"] == ["there is no consent to 'marketing'"]
    for view in answer["features"].values():
        assert (view["status"], view["age_s"][0]) == (["withheld", "present"], None)
        assert [values[0] for values in view["values"].values()] == [None] * len(view["values"])
        assert None not in [values[1] for values in view["values"].values()]

    portrait = client.get("/v1/customers/1", params={"purpose": "marketing"}).json()
    assert (portrait["status"], portrait["segment"], portrait["features"]) == ("withheld", None, {})
    assert statuses(client, "service") == ["ok", "ok"], "what they asked for themselves needs no consent"


def test_the_newest_word_counts_whenever_it_arrives(client: Client) -> None:
    now = datetime.now(UTC)
    say(client, 1, True)
    assert say(client, 1, False, at=(now - timedelta(days=1)).isoformat()).status_code == 200
    assert statuses(client) == ["ok", "ok"]
    say(client, 1, False)
    assert statuses(client) == ["withheld", "ok"]
    say(client, 1, True, at=(now - timedelta(days=1)).isoformat())
    assert statuses(client) == ["withheld", "ok"]


def test_opt_in_answers_only_whoever_agreed(client: Client) -> None:
    assert statuses(client, "profiling") == ["withheld", "withheld"]
    say(client, "1", True, "profiling")
    assert statuses(client, "profiling") == ["ok", "withheld"], '"1" and 1 are one customer'


def test_a_withdrawal_counts_in_every_server_of_the_home_within_a_second(company: "Company", client: Client) -> None:
    with asked(company.settings) as other:
        assert statuses(other) == ["ok", "ok"]
        say(client, 1, False)
        began = time.monotonic()
        assert statuses(other) == ["withheld", "ok"]
        assert time.monotonic() - began < 1


def test_a_withdrawal_that_redis_could_not_take_counts_once_it_is_back(company: "Company", client: Client) -> None:
    with company.hanging():
        refused = say(client, 1, False)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "kept, and not in effect yet" in refused.json()["error"]["message"]
        assert statuses(client) != ["ok", "ok"]
    until = time.monotonic() + 5
    while statuses(client) != ["withheld", "ok"]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_withdrawal_that_redis_was_never_told_counts_in_every_server_the_moment_redis_is_back(
    company: "Company",
) -> None:
    """As when nobody came to tell it yet: no server of the home does here."""
    settings = company.settings
    before = Word("2", "marketing", granted=True, at=1_763_000_000_000)
    consent.tell(company.client, settings.project, Ledger(settings).add([before]), Tombstones(settings))
    Keeper(settings).keep_up()

    def verdicts(consents: Consents) -> list[bool]:
        question = consents.question("marketing", [1, 2])
        found: Any = company.client.mget(question.beside.keys)
        question.beside.values = found
        return [each is None for each in consents.verdicts(question, now_us())]

    one, other = Consents(settings), Consents(settings)
    assert verdicts(one) == verdicts(other) == [True, True]
    with company.hanging():
        Ledger(settings).add([Word("1", "marketing", granted=False, at=1_763_000_000_001)])
        time.sleep(0.3)
    assert verdicts(one) == verdicts(other) == verdicts(Consents(settings)) == [False, True]
    Ledger(settings).add([Word("1", "marketing", granted=True, at=1_763_000_000_000)])
    time.sleep(0.3)
    assert verdicts(one) == [False, True], "the newest counts"


def test_a_redis_that_lost_its_consents_answers_nobody_personally_until_it_was_told_again(company: "Company") -> None:
    settings = company.settings
    with asked(settings) as client:
        say(client, 1, False)
        Keeper(settings).keep_up()
        assert statuses(client) == ["withheld", "ok"]

    def verdicts() -> list[str | None]:
        consents = Consents(settings)
        question = consents.question("marketing", [1, 2])
        found: Any = company.client.mget(question.beside.keys)
        question.beside.values = found
        return [None if each is None else each.note for each in consents.verdicts(question, now_us())]

    keys: Any = company.client.keys(f"{settings.project}/@consent*")
    company.client.unlink(*keys)
    assert [note and "being told again" in note for note in verdicts()] == [True, True]
    assert Keeper(settings).keep_up() == 1
    assert verdicts() == ["there is no consent to 'marketing'", None]


def test_without_redis_no_answer_for_a_purpose_is_personal(company: "Company", client: Client) -> None:
    with company.hanging():
        answer = client.post("/v1/recommend", json={"customer_ids": [1], "purpose": "marketing"}).json()
        assert [each["source"] for each in answer["results"]] == ["popular"]


def test_a_damaged_consent_is_no_consent(company: "Company", client: Client) -> None:
    company.client.set(consent.consent_key(company.settings.project, "1"), b"{")
    assert statuses(client) == ["withheld", "ok"]


def test_a_withdrawal_counts_under_a_new_pseudonym_key(company: "Company", client: Client) -> None:
    say(client, 1, False)
    changed = replace(company.settings, pseudonym_key="the key that comes after", previous_pseudonym_keys=("none",))
    with asked(changed) as other:
        assert statuses(other) == ["withheld", "ok"]
        say(other, 1, True)
        assert statuses(other) == ["ok", "ok"]


@pytest.mark.parametrize("key", [None, "the key that comes after"])
def test_who_withdraws_by_one_id_gets_no_personal_answer_by_another_in_any_server(
    company: "Company", key: str | None
) -> None:
    """As the warehouse found them to be one person: under the key that customers are known by, or a previous one."""
    people.publish(company.settings, [["1", "other"]])
    changed = replace(company.settings, pseudonym_key=key, previous_pseudonym_keys=("none",))
    settings = company.settings if key is None else changed
    with asked(settings) as client, asked(settings) as replica:
        assert statuses(replica) == ["ok", "ok"]
        assert say(client, "other", False).status_code == 200
        assert statuses(client) == statuses(replica) == ["withheld", "ok"]
        say(client, "other", True)
        assert statuses(replica) == ["withheld", "ok"], "an agreement counts for the id that it was given under"
        say(client, 1, True)
        assert statuses(replica) == ["ok", "ok"]


def test_a_withdrawal_by_another_id_outlives_redis_and_comes_to_it_late(company: "Company") -> None:
    settings = company.settings
    people.publish(settings, [["1", "other"]])
    with asked(settings) as client:
        with company.hanging():
            assert "kept, and not in effect yet" in say(client, "other", False).text
        for lost in (False, True):
            if lost:
                company.client.flushall()
                company.put_customer("1")
                company.put_customer("2")
            until = time.monotonic() + 5
            while statuses(client) != ["withheld", "ok"]:
                assert time.monotonic() < until
                time.sleep(0.05)


def test_a_withdrawal_is_kept_though_nobody_can_tell_who_is_one_person(company: "Company", client: Client) -> None:
    file = company.settings.home / consent.FOLDER / people.FILE
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"no database at all, and longer than nothing" * 10)
    refused = say(client, 1, False)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    told = refused.json()["error"]
    assert told["message"] == "It is kept and in effect under this id, not yet under others that the person may have."
    assert "motherlode features" in told["remedy"]
    kept: Any = company.client.get(consent.consent_key(company.settings.project, "1"))
    assert consent.decode(kept)["marketing"] < 0, "in effect when it is answered"
    with company.hanging():
        assert "kept, and not in effect yet" in say(client, 1, False).text
    until = time.monotonic() + 5
    while statuses(client) != ["withheld", "ok"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    say(client, 2, True)
    assert len(Ledger(company.settings).standing()) == 2


def test_what_an_erased_customer_says_is_dropped_without_a_word(company: "Company", client: Client) -> None:
    tombstones = Tombstones(company.settings)
    tombstones.add([of_customer(tombstones, "1", datetime.now(UTC), "c")])
    assert say(client, 1, False).status_code == 200
    assert not Ledger(company.settings)
    assert company.client.get(consent.consent_key(company.settings.project, "1")) is None


@pytest.mark.parametrize(
    ("changes", "path", "told"),
    [
        ({"purpose": "nothing"}, "$.purpose", "marketing, profiling, service"),
        ({"purpose": "service"}, "$.purpose", "MOTHERLODE_PURPOSES"),
        ({"at": "2999-01-01T00:00:00Z"}, "$.at", "clock"),
        ({"at": "2026-01-01T00:00:00"}, "$.at", "Fields"),
        ({"granted": 1}, "$.granted", "Fields"),
    ],
)
def test_a_wrong_word_is_refused_by_its_path(client: Client, changes: dict[str, Any], path: str, told: str) -> None:
    body = {"customer_id": 1, "purpose": "marketing", "granted": False, **changes}
    answer = client.post("/v1/consent", json=body)
    assert (answer.status_code, answer.json()["error"]["path"]) == (422, path)
    assert told in answer.json()["error"]["remedy"]


def test_an_unknown_purpose_is_refused_by_every_route_naming_those_known(client: Client) -> None:
    for route in ("score", "recommend", "features"):
        answer = client.post(f"/v1/{route}", json={"customer_ids": [1], "purpose": "nothing"})
        assert (answer.status_code, answer.json()["error"]["path"]) == (422, "$.purpose")
        assert "marketing, profiling, service" in answer.json()["error"]["remedy"]
    assert client.get("/v1/customers/1", params={"purpose": "nothing"}).json()["error"]["path"] == "purpose"


def test_words_are_taken_from_this_machine_alone(company: "Company") -> None:
    with asked(company.settings, "192.0.2.7") as client:
        answer = say(client, 1, False)
    assert (answer.status_code, answer.json()["error"]["path"]) == (403, "/v1/consent")
    assert not Ledger(company.settings)


def test_nothing_clear_is_left_behind_under_a_pseudonym_key(company: "Company") -> None:
    keyed = replace(company.settings, pseudonym_key="a secret of sixteen bytes", previous_pseudonym_keys=("none",))
    with asked(keyed) as client:
        assert say(client, "someone@example.com", False).status_code == 200
    written = (keyed.home / consent.FOLDER / consent.LEDGER).read_text()
    stored: Any = company.client.keys("*@consent/*")
    assert "someone" not in written + b"".join(stored).decode()
    assert names.PROJECT in b"".join(stored).decode()
