"""Which keys must be at hand for a load, and what a new key changes in the state."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

from feature_repo.warehouse import parts, privacy, state
from feature_repo.warehouse.mapping.model import Key, Mapping
from feature_repo.warehouse.state import Load, State
from motherlode import names
from motherlode.errors import DataError
from motherlode.identity import PLAIN, Identity
from motherlode.settings import Settings

OLD, NEW = "the old pseudonym key", "the new pseudonym key"
LOAD = Load(number=1, at=datetime(2026, 1, 1, tzinfo=UTC), seconds=1, mapping="m", landed=(1,), rows={})


def keyed(home: Path, key: str | None = OLD, *previous: str) -> Settings:
    return Settings(home=home, pseudonym_key=key, previous_pseudonym_keys=previous)


def loaded(settings: Settings, outside: list[str], kept_apart: tuple[tuple[str, str], ...] = ()) -> State:
    """A state as a load under these settings leaves it."""
    identity = settings.identity
    frame = pl.DataFrame({names.OUTSIDE_ID: outside, names.CUSTOMER_ID: identity.join_keys_of(outside)})
    part = parts.write(settings, "raw/identities", "ids", [frame], secret=True)
    assert part is not None
    return State(
        key_ids=(identity.key_id,),
        identities=(part,),
        kept_apart=tuple((identity.join_key(one), identity.join_key(two)) for one, two in kept_apart),
        loads=(LOAD,),
    )


def test_a_first_load_takes_any_key_and_the_next_one_the_same(tmp_path: Path) -> None:
    for key in (None, OLD):
        settings = keyed(tmp_path, key)
        first = privacy.check_keys(settings, State())
        assert first == (settings.identity.key_id,)
        assert privacy.check_keys(settings, State(key_ids=first)) == first


@pytest.mark.parametrize(("was", "now"), [(OLD, NEW), (OLD, None), (None, NEW)])
def test_another_key_is_refused_unless_the_old_one_is_listed(tmp_path: Path, was: str | None, now: str | None) -> None:
    known = State(key_ids=(Identity(was).key_id,))
    with pytest.raises(DataError, match="are known by") as caught:
        privacy.check_keys(keyed(tmp_path, now), known)
    assert "MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS" in caught.value.remedy
    assert "motherlode rekey" in caught.value.remedy
    for secret in (OLD, NEW):
        assert secret not in str(caught.value)
    listed = privacy.check_keys(keyed(tmp_path, now, was or PLAIN), known)
    assert listed == (Identity(now).key_id, Identity(was).key_id)


def test_until_the_job_has_ended_the_old_key_stays_needed(tmp_path: Path) -> None:
    both = State(key_ids=(Identity(NEW).key_id, Identity(OLD).key_id))
    assert privacy.check_keys(keyed(tmp_path, NEW, OLD), both) == both.key_ids
    with pytest.raises(DataError, match=Identity(OLD).key_id):
        privacy.check_keys(keyed(tmp_path, NEW), both)
    assert privacy.check_keys(keyed(tmp_path, OLD, NEW), both) == tuple(reversed(both.key_ids)), "one may turn back"


def test_a_load_under_a_new_key_carries_what_people_told_and_forgets_the_old_join_keys(tmp_path: Path) -> None:
    known = loaded(keyed(tmp_path), ["7", "8", "9"], (("7", "8"), ("8", "9")))
    new = keyed(tmp_path, NEW, OLD)
    went_on = privacy.adopt(new, known)
    key = Identity(NEW).join_key
    assert went_on.kept_apart == ((key("7"), key("8")), (key("8"), key("9")))
    assert went_on.identities == ()
    assert went_on.key_ids == (Identity(NEW).key_id, Identity(OLD).key_id)
    again = privacy.adopt(new, msgspec.structs.replace(went_on, identities=known.identities))
    assert again.kept_apart == went_on.kept_apart
    assert again.identities == known.identities, "the key is the state's: its record counts"


def test_under_the_same_key_nothing_changes(tmp_path: Path) -> None:
    known = loaded(keyed(tmp_path), ["7"], (("7", "8"),))
    assert privacy.adopt(keyed(tmp_path), known) == known


def test_a_job_that_has_ended_needs_the_new_key_alone(tmp_path: Path) -> None:
    settings = keyed(tmp_path, NEW, OLD)
    state.write(settings, msgspec.structs.replace(loaded(settings, ["7"]), key_ids=settings.identity.key_ids))
    privacy.conclude(settings)
    assert privacy.check_keys(keyed(tmp_path, NEW), state.read(settings)) == (Identity(NEW).key_id,)


@dataclass(frozen=True)
class Mapped:
    mapping: Mapping


def test_pseudonyms_need_a_key_unless_the_data_is_made_up(tmp_path: Path) -> None:
    real = Mapped(Mapping(company="c", sources={}, tables={}))
    made_up = Mapped(Mapping(company="c", sources={}, tables={}, privacy=Key(pseudonym="none")))
    with pytest.raises(DataError, match="there is no pseudonym key") as caught:
        privacy.identity(keyed(tmp_path, None), real)
    assert "MOTHERLODE_PSEUDONYM_KEY" in caught.value.remedy
    assert privacy.identity(keyed(tmp_path), real).keyed
    assert not privacy.identity(keyed(tmp_path, None), made_up).keyed
    assert privacy.identity(keyed(tmp_path), made_up).keyed, "a key that is given is used"
