"""Under which pseudonym keys a warehouse's customers are known, and which of them must be at hand."""

from typing import Final

import msgspec

from feature_repo.warehouse import state, sweep, tables
from feature_repo.warehouse.state import State
from feature_repo.warehouse.vault import Mapped
from motherlode import names
from motherlode.errors import DataError
from motherlode.identity import PLAIN, Identity
from motherlode.settings import Settings

_REKEY: Final = (
    "Set MOTHERLODE_PSEUDONYM_KEY as it was; or, to replace it, list the old key in MOTHERLODE_PREVIOUS_PSEUDONYM_KEYS "
    f'("{PLAIN}" where there was none) and run `motherlode rekey`.'
)


def identity(settings: Settings, project: Mapped) -> Identity:
    """How identifiers leave raw. A key that is given is used, also where the mapping asks for none.

    Raises:
        DataError: the mapping asks for keyed pseudonyms, and there is no key.
    """
    if project.mapping.privacy.pseudonym != "none" and settings.pseudonym_key is None:
        raise DataError(
            "The mapping says privacy.pseudonym: hmac-sha256, and there is no pseudonym key.",
            "Give one by MOTHERLODE_PSEUDONYM_KEY or MOTHERLODE_PSEUDONYM_KEY_FILE (`motherlode keys new` makes one); "
            "`pseudonym: none` is for made-up data.",
        )
    return settings.identity


def check_keys(settings: Settings, known: State) -> tuple[str, ...]:
    """Check that every key which the state's customers are known by is at hand, before a load changes the state.

    Returns:
        What the state's `key_ids` are after a load: the current key's, then those of keys that the re-key job has
        not ended yet.

    Raises:
        DataError: a key of the state is neither the current one nor listed as previous.
    """
    ours = settings.identity.key_ids
    if missing := [each for each in known.key_ids if each not in ours]:
        raise DataError(
            f"The customers in {settings.home} are known by {_named(missing)}; here is {_named(ours)}.", _REKEY
        )
    return (ours[0], *(each for each in known.key_ids if each != ours[0]))


def adopt(settings: Settings, known: State) -> State:
    """The state as a load goes on from it: under a new key it knows its customers by that one.

    The pairs of `kept_apart` are told by the new join keys; the record of identities starts anew, since every row is
    pseudonymised again.

    Raises:
        DataError: as in `check_keys`; the record of identities cannot be read.
    """
    key_ids = check_keys(settings, known)
    if not known.key_ids or known.key_ids[0] == key_ids[0]:
        return msgspec.structs.replace(known, key_ids=key_ids)
    now, *before = settings.identity.every_join_key_of(outside_ids(settings, known))
    renamed = {old: new for keys in before for old, new in zip(keys, now, strict=True)}
    kept_apart = tuple((renamed.get(one, one), renamed.get(two, two)) for one, two in known.kept_apart)
    return msgspec.structs.replace(known, key_ids=key_ids, kept_apart=kept_apart, identities=())


def conclude(settings: Settings) -> None:
    """End a re-key: from now on customers are known by the current key alone, and the old key's files are gone."""
    known = msgspec.structs.replace(state.read(settings), key_ids=settings.identity.key_ids[:1])
    state.write(settings, known)
    sweep.sweep(settings, known)


def outside_ids(settings: Settings, known: State) -> list[str]:
    """Every customer's outside id, as recorded below raw.

    Raises:
        DataError: the record is encrypted and its key is not here, or it cannot be read.
    """
    return tables.identities(settings, known.identities)[names.OUTSIDE_ID].unique(maintain_order=True).to_list()


def _named(key_ids: list[str] | tuple[str, ...]) -> str:
    return " and ".join(f"the pseudonym key {each}" if each else "no pseudonym key" for each in key_ids)
