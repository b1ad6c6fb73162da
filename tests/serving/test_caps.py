"""Frequency caps: counted once by the contact's id, checked with consent, over when the window is."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from motherlode import contacts, people
from motherlode.contacts import Cap, Caps
from motherlode.errors import SettingsError
from motherlode.online import tombstones as ledger
from motherlode.online.tombstones import Tombstones
from motherlode.settings import Settings
from serving.consent import Keeper
from serving.http import build

if TYPE_CHECKING:
    from tests.serving.conftest import Company

Client = TestClient[Litestar]


class Here:
    """An application that is called from this machine."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["client"] = ("127.0.0.1", 50000)
        await self.application(scope, receive, send)


@pytest.fixture
def settings(company: "Company") -> Settings:
    return replace(company.settings, caps="marketing=2/7d,service=3/1h", access_log="off")


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    Keeper(settings).keep_up()
    here: Any = Here(build(settings))
    with TestClient(here) as made:
        yield made


def tell(client: Client, name: str, customer: int | str = 1, purpose: str = "marketing", **more: Any) -> Any:
    body = {"customer_id": customer, "purpose": purpose, "channel": "email", "contact_id": name, **more}
    return client.post("/v1/contacts", json=body)


def counted(client: Client, name: str, **more: Any) -> bool:
    answer = tell(client, name, **more)
    assert answer.status_code == 200, answer.text
    found: bool = answer.json()["counted"]
    return found


def statuses(client: Client, purpose: str = "marketing") -> list[str]:
    answer = client.post("/v1/score", json={"customer_ids": [1, 2], "purpose": purpose})
    return [each["status"] for each in answer.json()["results"]]


def test_whoever_was_contacted_as_often_as_may_be_gets_no_personal_answer(client: Client) -> None:
    assert [counted(client, "a"), counted(client, "a"), counted(client, "a", customer="1")] == [True, False, False]
    assert statuses(client) == ["ok", "ok"]
    assert counted(client, "b")
    assert statuses(client) == ["capped", "ok"]
    assert statuses(client, "service") == ["ok", "ok"], "a cap is of one purpose"
    body = {"customer_ids": [1, 2], "purpose": "marketing"}
    mine, other = client.post("/v1/recommend", json=body).json()["results"]
    assert (mine["status"], mine["source"], other["source"]) == ("capped", "popular", "personal")
    assert mine["notes"][0] == "contacted for 'marketing' as often as may be"
    views = client.post("/v1/features", json=body).json()["features"]
    assert [view["status"] for view in views.values()] == [["capped", "present"]] * len(views)
    portrait = client.get("/v1/customers/1", params={"purpose": "marketing"}).json()
    assert (portrait["status"], portrait["features"]) == ("capped", {})


def test_a_withdrawal_comes_before_a_cap_and_a_cap_holds_for_a_free_purpose_too(client: Client) -> None:
    for name in "abc":
        counted(client, name)
        counted(client, f"{name}'", purpose="service")
    assert (statuses(client), statuses(client, "service")) == (["capped", "ok"], ["capped", "ok"])
    client.post("/v1/consent", json={"customer_id": 1, "purpose": "marketing", "granted": False})
    assert statuses(client) == ["withheld", "ok"]


def test_a_window_slides_and_what_is_out_of_it_counts_no_more(company: "Company", client: Client) -> None:
    now = datetime.now(UTC)
    assert counted(client, "a", at=(now - timedelta(days=7) + timedelta(seconds=1.5)).isoformat())
    assert counted(client, "b", at=(now - timedelta(days=1)).isoformat())
    assert not counted(client, "c", at=(now - timedelta(days=8)).isoformat()), "out of every window"
    assert statuses(client) == ["capped", "ok"]
    key = contacts.contacts_key(company.settings.project, "1")
    left: Any = company.client.pttl(key)
    assert timedelta(days=5.9) < timedelta(milliseconds=left) <= timedelta(days=6), "it goes by itself"
    caps, known = Caps({"marketing": (Cap(2, 1000),)}), [(1, "a"), (600, "b")]
    assert [caps.reached("marketing", known, at) for at in (600, 1000, 1001)] == [True, True, False]


def test_a_purpose_without_a_cap_counts_nothing_and_an_unknown_one_is_refused(client: Client) -> None:
    assert not counted(client, "a", purpose="profiling")
    answer = tell(client, "a", purpose="nothing")
    assert (answer.status_code, answer.json()["error"]["path"]) == (422, "$.purpose")
    assert tell(client, "a", at="2999-01-01T00:00:00Z").json()["error"]["path"] == "$.at"


def many(company: "Company", project: str, purpose: str, numbers: range, window_ms: int = 604_800_000) -> None:
    """Contacts that were all told just now, each a moment after the one before."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    for number in numbers:
        contact = now_ms - 1000 + number, purpose, str(number)
        company.client.eval(*contacts.call(project, "1", contact, "d", window_ms, now_ms))


def test_contacts_for_another_purpose_make_no_room_however_many_they_are(
    company: "Company", settings: Settings, client: Client
) -> None:
    assert [counted(client, name) for name in "ab"] == [True, True]
    many(company, settings.project, "service", range(300), 3_600_000)
    assert (statuses(client), statuses(client, "service")) == (["capped", "ok"], ["capped", "ok"])
    assert not counted(client, "a"), "it still counts once"
    left: Any = company.client.pttl(contacts.contacts_key(settings.project, "1"))
    assert timedelta(milliseconds=left) > timedelta(days=6.9), "nor does another purpose's window end this one's"


def test_what_is_remembered_is_bounded_the_newest_of_it_and_damage_is_no_permission(
    company: "Company", settings: Settings, client: Client
) -> None:
    key = contacts.contacts_key(settings.project, "1")
    many(company, settings.project, "marketing", range(299, -1, -1))
    raw: Any = company.client.get(key)
    kept = contacts.decode(raw, "marketing")
    assert (len(kept), kept) == (256, sorted(kept))
    assert kept[-1][0] - kept[0][0] == 255, "told last to first: the newest are kept, not those that were told last"
    company.client.set(key, b"[")
    assert statuses(client) == ["capped", "ok"]


def test_contacts_that_an_older_version_counted_count_on(
    company: "Company", settings: Settings, client: Client
) -> None:
    key = contacts.contacts_key(settings.project, "1")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    before = [[now_ms, "marketing", "x"], [now_ms, "service", "y"]]
    company.client.set(key, msgspec.json.encode(before), px=600_000)
    assert statuses(client) == ["ok", "ok"]
    assert counted(client, "a")
    assert statuses(client) == ["capped", "ok"]
    raw: Any = company.client.get(key)
    assert contacts.decode(raw, "service") == [(now_ms, "y")]


def test_a_person_is_contacted_once_whichever_of_their_ids_is_told(settings: Settings, client: Client) -> None:
    people.publish(settings, [["1", "other"]])
    assert [counted(client, "a", customer="other"), counted(client, "b")] == [True, True]
    assert statuses(client) == ["capped", "ok"]
    assert not counted(client, "a"), "under the other id it was counted already"


def test_of_an_erased_customer_nothing_is_counted(company: "Company", settings: Settings, client: Client) -> None:
    tombstones = Tombstones(settings)
    tombstones.add([ledger.of_customer(tombstones, "1", datetime.now(UTC), "c")])
    ledger.restore(company.client, settings.project, tombstones)
    assert not counted(client, "a")
    assert company.client.get(contacts.contacts_key(settings.project, "1")) is None


@pytest.mark.parametrize("said", ["marketing", "marketing=3", "marketing=3/7w", "marketing=3/0d", "marketing=201/7d"])
def test_caps_that_cannot_be_read_are_refused(settings: Settings, said: str) -> None:
    with pytest.raises(SettingsError, match="is no cap"):
        Caps.of(replace(settings, caps=said))
    with pytest.raises(SettingsError, match="'nothing' is unknown"):
        Caps.of(replace(settings, caps="nothing=1/1d"))
