"""Who gets no personal score for a purpose: by the ledger of consents, and by the contacts that Redis counted.

A person may have several outside ids. Of them the newest word under an id counts, and a withdrawal under any of them is
a word under each: who withdrew by one name is not scored by another.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import polars as pl

from motherlode import contacts, names, redis_server
from motherlode.consent import Ledger, Purposes, Rule
from motherlode.contacts import Caps
from motherlode.online.keys import entity_text
from motherlode.online.reader import mget, now_us
from motherlode.settings import Settings

WITHHELD: Final = "withheld"
CAPPED: Final = "capped"
_STATUS: Final = "status"
_NOTE: Final = "note"
_WHY: Final = "_why"
_NAME: Final = "_name"
_KEYS: Final = 5_000
"""Asked of Redis at once."""


def withhold(settings: Settings, scores: pl.DataFrame, people: pl.DataFrame, purpose: str) -> pl.DataFrame:
    """Scores without those of customers who get no personal answer for a purpose.

    Args:
        settings: whose purposes, caps, ledger and Redis.
        scores: of `training.batch.score_all`: a row an outside id.
        people: `outside_id` and `customer_id`, which the ids of one person share: the warehouse's `tables.outside_ids`.
        purpose: what the scores are for.

    Returns:
        The same rows and columns; whoever is withheld has nothing but `outside_id`, `status` (`withheld`: there is no
        consent; `capped`: contacted as often as may be) and `note`, as serving says both.

    Raises:
        DataError: the ledger cannot be read.
        StoreError: the purpose has a cap, and Redis does not answer.
        UnknownPurposeError: naming the purposes there are.
    """
    rule, capped = Purposes.of(settings).rule(purpose), purpose in Caps.of(settings).of_purpose
    if rule == "free" and not capped:
        return scores
    known = _names(settings, people)
    full = people.filter(pl.col(names.CUSTOMER_ID).is_in(_capped(settings, known, purpose) if capped else []))
    without = people.filter(~_allowed(settings, known, people, purpose, rule))
    reasons = pl.concat(
        frame.select(names.OUTSIDE_ID, pl.lit(why).alias(_WHY)) for frame, why in ((without, WITHHELD), (full, CAPPED))
    ).unique(names.OUTSIDE_ID, keep="first", maintain_order=True)
    told = scores.join(reasons, on=names.OUTSIDE_ID, how="left", maintain_order="left", validate="m:1")
    kept = pl.col(_WHY).is_null()
    others = [column for column in scores.columns if column not in (names.OUTSIDE_ID, _STATUS, _NOTE)]
    notes = {
        WITHHELD: f"there is no consent to {purpose!r}",
        CAPPED: f"contacted for {purpose!r} as often as may be",
    }
    return told.with_columns(
        pl.when(kept).then(_STATUS).otherwise(_WHY).alias(_STATUS),
        pl.when(kept).then(_NOTE).otherwise(pl.col(_WHY).replace(notes)).alias(_NOTE),
        *(pl.when(kept).then(column).alias(column) for column in others),
    ).select(scores.columns)


def _names(settings: Settings, people: pl.DataFrame) -> pl.DataFrame:
    """`outside_id`, `customer_id` (the person), and each name that consents and contacts may know it by."""
    every = settings.identity.every_join_key_of(people[names.OUTSIDE_ID].to_list())
    frames = [
        people.with_columns(pl.Series(_NAME, [entity_text((key,)) for key in keys], dtype=pl.String)) for keys in every
    ]
    return pl.concat(frames)


def _allowed(settings: Settings, known: pl.DataFrame, people: pl.DataFrame, purpose: str, rule: Rule) -> pl.Series:
    """Of each of `people`, whether it may be scored: the newest word counts, and of two of one time the withdrawal."""
    if rule == "free":
        return pl.repeat(True, people.height, eager=True)
    standing = Ledger(settings).standing().items()
    words = [(customer, word.at, word.granted) for (customer, of), word in standing if of == purpose]
    said = pl.DataFrame(words, schema={_NAME: pl.String, "at": pl.Int64, "granted": pl.Boolean}, orient="row")
    said = known.join(said, on=_NAME, how="inner")
    withdrawn = said.filter(~pl.col("granted")).group_by(names.CUSTOMER_ID).agg(pl.col("at").max().alias("no"))
    granted = said.filter("granted").group_by(names.OUTSIDE_ID).agg(pl.col("at").max().alias("yes"))
    told = people.join(withdrawn, on=names.CUSTOMER_ID, how="left", maintain_order="left")
    told = told.join(granted, on=names.OUTSIDE_ID, how="left", maintain_order="left")
    # Times begin at 1, which the tables' own first words have: whoever did not agree counts as before any withdrawal,
    # and, where the rule is opt-out, as after none.
    unsaid = 0.5 if rule == "opt-out" else 0.0
    yes, no = pl.col("yes").cast(pl.Float64).fill_null(unsaid), pl.col("no").cast(pl.Float64).fill_null(0.0)
    return told.select(yes > no).to_series()


def _capped(settings: Settings, known: pl.DataFrame, purpose: str) -> list[str]:
    """The people (`customer_id`) who were contacted as often as may be, under all of their names, or of whom nobody can
    tell.
    """
    caps, now_ms = Caps.of(settings), now_us() // 1000
    name_of = known[_NAME].to_list()
    people: dict[str, list[tuple[int, str]]] = {}
    unknown = set()
    with redis_server.running(settings) as bound, redis_server.connect(bound) as client:
        for place, raw in enumerate(_read(client, settings.project, name_of)):
            if raw is not None:
                person = known[names.CUSTOMER_ID][place]
                try:
                    people.setdefault(person, []).extend(contacts.decode(raw, purpose))
                except msgspec.DecodeError:
                    unknown.add(person)
    return [person for person, told in people.items() if person in unknown or caps.reached(purpose, told, now_ms)]


def _read(client: Any, project: str, known: Sequence[str]) -> Iterator[bytes | None]:
    """What Redis holds of each name's contacts."""
    for start in range(0, len(known), _KEYS):
        yield from mget(client, [contacts.contacts_key(project, name) for name in known[start : start + _KEYS]])
