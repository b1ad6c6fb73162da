"""The model of Fellegi and Sunter ("A Theory for Record Linkage", JASA 1969): what an agreement is worth.

Each comparison has levels; of each level `m` is how often two records of one person reach it, `u` how often those of
two people do. The figures are fixed and stand here, so that ten customers are judged as a million are and each answer
can be worked out by hand: decision 0020 says where they come from, and why none is fitted to the company's data.

The prior and the `u` of what a household shares depend on how many people there are: of N customers a fixed share is
doubled, so that the chance that two are one falls as 1/N; so does the chance that two live under one roof.
"""

from dataclasses import dataclass
from typing import Any, Final

DOUBLED: Final = 0.2
"""Expected pairs of one person for each customer: one customer in five has a double."""
HIGHEST_PRIOR: Final = 1e-4
"""That two random customers are one, however few there are."""
RAREST_NAME: Final = 1e-5
RARE_NAME: Final = 1e-4
"""Shares of people that have one full name, where the data cannot tell: between these, as there is more data."""
NAMESAKES: Final = 0.01
"""Of two people who share an address, an e-mail or a phone, the share that have the same full name: father and son."""
NEVER: Final = 1e-15
"""The `m` of a contradiction: no agreement elsewhere outweighs it."""


@dataclass(frozen=True)
class Level:
    """One level of a comparison.

    Attributes:
        sql: true where a pair reaches it; the first level that is true counts. None: all others.
        m, u: as above.
        says: for the merge ledger; empty where it is no evidence for one person.
        frequency: the column whose terms' frequency stands in for `u`.
        personal: whether it tells a person from the others of the household.
    """

    sql: str | None
    m: float
    u: float
    says: str = ""
    frequency: str | None = None
    personal: bool = False


@dataclass(frozen=True)
class Comparison:
    """One comparison.

    Attributes:
        name: of the comparison.
        columns: where all of them are empty there is nothing to compare.
        absent: true where a pair has nothing to compare.
        levels: the strictest first.
    """

    name: str
    columns: tuple[str, ...]
    absent: str
    levels: tuple[Level, ...]

    def splink(self) -> dict[str, Any]:
        """As Splink's settings have it."""
        missing = {"sql_condition": self.absent, "label_for_charts": "missing", "is_null_level": True}
        return {
            "output_column_name": self.name,
            "comparison_levels": [missing, *(_splink(level) for level in self.levels)],
        }

    def level(self, gamma: int) -> Level | None:
        """The level that Splink numbers so; None where there was nothing to compare."""
        return self.levels[len(self.levels) - 1 - gamma] if gamma >= 0 else None


def prior(people: int) -> float:
    """The probability that two random customers are one person."""
    return min(HIGHEST_PRIOR, DOUBLED / max(people, 1))


def rare_name(people: int) -> float:
    """The smallest share of people that a full name is taken to have."""
    return min(RARE_NAME, max(RAREST_NAME, 3 / max(people, 1)))


def comparisons(people: int, *, named: bool) -> tuple[Comparison, ...]:
    """The model for so many people.

    Args:
        people: customers that are compared.
        named: whether any of them has a name; without one an e-mail is all that tells people apart, and taken for it.
    """
    chance = prior(people)
    return (
        _names(rare_name(people)),
        Comparison(
            "email",
            ("email",),
            _absent("email"),
            (
                Level(_same("email"), 0.7, chance / (10 if named else 100), "same e-mail", personal=not named),
                Level(_typing_error("email", 8), 0.08, 1e-3, "similar e-mail"),
                Level(_same("email_local"), 0.06, 0.02, "same e-mail before the @"),
                Level(None, 0.16, 0.98),
            ),
        ),
        Comparison(
            "phone",
            ("phone",),
            _absent("phone"),
            (
                Level(_same("phone"), 0.65, chance / 5, "same phone"),
                Level(_typing_error("phone", 8), 0.05, 1e-4, "similar phone"),
                Level(None, 0.3, 0.9999),
            ),
        ),
        _place(chance),
        Comparison(
            "birth_date",
            ("birth_date",),
            _absent("birth_date"),
            (
                Level(_same("birth_date"), 0.95, 5e-5, "same birth date", personal=True),
                Level(MISTYPED_BIRTH_DATE, 0.05, 2e-3, "similar birth date"),
                Level(None, NEVER, 0.99),
            ),
        ),
    )


def _names(rare: float) -> Comparison:
    both = "given_l IS NOT NULL AND given_r IS NOT NULL"
    return Comparison(
        "name",
        ("full",),
        "full_l IS NULL OR full_r IS NULL OR script_l <> script_r",
        (
            Level(SUFFIXES_DIFFER, NEVER, 1e-3),
            Level(f"full_l = full_r AND {UNDER_ONE_ROOF}", 0.8, NAMESAKES, "same name", personal=True),
            Level(_same("full"), 0.8, rare, "same name", "full", personal=True),
            Level(f"{GIVEN_DIFFER}", NEVER, 0.95),
            Level(f"{both} AND {SAME_GIVEN} AND {FAMILY_AGREE}", 0.06, 1e-4, "same name but for parts", personal=True),
            Level(f"{both} AND {SAME_GIVEN}", 0.03, 1e-2, "same given name", personal=True),
            Level(f"{both} AND {INITIAL} AND {FAMILY_AGREE}", 0.02, 1e-3, "initial and family name", personal=True),
            Level(f"{both} AND {FAMILY_AGREE}", 0.06, 2e-4, "similar name", personal=True),
            Level(FAMILY_AGREE, 0.02, 5e-3, "same family name"),
            Level(None, 0.01, 0.95),
        ),
    )


def _place(chance: float) -> Comparison:
    near = "numbers_l = numbers_r AND jaro_winkler_similarity(street_l, street_r) >= 0.9"
    unknown = "(street_l IS NULL OR street_r IS NULL)"
    return Comparison(
        "place",
        ("street", "postcode", "city"),
        "coalesce(street_l = street_r, postcode_l = postcode_r, city_l = city_r) IS NULL",
        (
            Level(_ADDRESS, 0.55, chance / 2, "same address"),
            Level(f"{near} AND {_AREA}", 0.1, chance, "similar address"),
            Level(f"{_same('postcode')} AND {unknown}", 0.8, 0.05, "same postcode"),
            Level(_same("postcode"), 0.1, 0.05, "same postcode"),
            Level(f"{_same('city')} AND {unknown}", 0.8, 0.3, "same city"),
            Level(_same("city"), 0.1, 0.3),
            Level(None, 0.2, 0.9),
        ),
    )


def _absent(column: str) -> str:
    return f"{column}_l IS NULL OR {column}_r IS NULL"


def _same(column: str) -> str:
    return f"{column}_l = {column}_r"


def _typing_error(column: str, shortest: int) -> str:
    """One letter more, less, other or swapped, in a text of so many."""
    return (
        f"least(length({column}_l), length({column}_r)) >= {shortest} "
        f"AND damerau_levenshtein({column}_l, {column}_r) <= 1"
    )


def _splink(level: Level) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "sql_condition": "ELSE" if level.sql is None else level.sql,
        "label_for_charts": level.says or "differs",
        "m_probability": level.m,
        "u_probability": level.u,
    }
    if level.frequency is not None:
        fields |= {
            "tf_adjustment_column": level.frequency,
            "tf_minimum_u_value": level.u,
            "disable_tf_exact_match_detection": True,
        }
    return fields


_LETTERS: Final = "least(length(given_l), length(given_r))"
_ENDING: Final = f"left(given_l, {_LETTERS} - 2) = left(given_r, {_LETTERS} - 2)"
_SWAPPED: Final = "(given_l = family_r AND family_l = given_r)"
_AREA: Final = (
    "(postcode_l = postcode_r OR ((postcode_l IS NULL OR postcode_r IS NULL) "
    "AND (city_l = city_r OR city_l IS NULL OR city_r IS NULL)))"
)
_ADDRESS: Final = f"(street_l = street_r AND numbers_l IS NOT DISTINCT FROM numbers_r AND {_AREA})"
UNDER_ONE_ROOF: Final = f"coalesce({_ADDRESS} OR email_l = email_r OR phone_l = phone_r, false)"
SAME_GIVEN: Final = (
    "(given_l = given_r OR list_contains(given_tokens_r, given_first_l) OR list_contains(given_tokens_l, given_first_r)"
    f" OR {_SWAPPED})"
)
"""One's first given name is among the other's."""
INITIAL: Final = (
    "(script_l = 'alphabet' AND (length(given_l) = 1 OR length(given_r) = 1) AND left(given_l, 1) = left(given_r, 1))"
)
_GIVEN_TYPING_ERROR: Final = (
    f"(script_l = 'alphabet' AND {_LETTERS} >= 4 AND NOT (given_known_l AND given_known_r) "
    f"AND (NOT ({_ENDING}) OR (given_common_l AND given_rare_r) OR (given_rare_l AND given_common_r)) "
    f"AND damerau_levenshtein(given_l, given_r) <= CASE WHEN {_LETTERS} >= 8 THEN 2 ELSE 1 END)"
)
"""Anna and Anne, Paul and Paula, Christian and Christina are two people: what differs in the last letters alone, or
is a usual name on both sides, is no typing error; but where many have the one name and hardly anybody the other."""
GIVEN_DIFFER: Final = (
    "(given_l IS NOT NULL AND given_r IS NOT NULL AND script_l = script_r AND full_l <> full_r "
    f"AND NOT ({SAME_GIVEN} OR {INITIAL} OR {_GIVEN_TYPING_ERROR}))"
)
FAMILY_AGREE: Final = (
    "coalesce(family_l = family_r OR list_has_any(family_tokens_l, family_tokens_r) "
    f"OR {_SWAPPED} OR (script_l = 'alphabet' AND length(family_l) >= 4 "
    "AND jaro_winkler_similarity(family_l, family_r) >= 0.9), false)"
)
SUFFIXES_DIFFER: Final = (
    "(suffix_l IS DISTINCT FROM suffix_r AND (birth_date_l = birth_date_r) IS NOT TRUE "
    "AND (suffix_l IS NULL OR suffix_r IS NULL OR suffix_l <> suffix_r))"
)
MISTYPED_BIRTH_DATE: Final = (
    "(full_l = full_r AND coalesce(email_l = email_r, false) AND left(birth_date_l, 4) = left(birth_date_r, 4) AND ("
    "damerau_levenshtein(birth_date_l, birth_date_r) <= 1 OR birth_date_l = "
    "left(birth_date_r, 5) || substr(birth_date_r, 9, 2) || '-' || substr(birth_date_r, 6, 2)))"
)
"""Day and month swapped, or one digit of them: one person's only where name and e-mail are the same."""
CONTRADICTIONS: Final = (
    SUFFIXES_DIFFER,
    GIVEN_DIFFER,
    f"(birth_date_l <> birth_date_r AND NOT coalesce({MISTYPED_BIRTH_DATE}, false))",
)
"""Each makes two customers two people, whatever else agrees."""
