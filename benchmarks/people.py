"""Made-up customers whose truth is known: households, twins, and doubles as clerks and web forms make them."""

import random
import string
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

import polars as pl

PERSON: Final = "person"
"""The person behind a customer: the truth."""


def _words(text: str) -> list[str]:
    return text.split()


_GIVEN: Final = _words(
    "Anna Maria Peter Thomas Michael Julia Sarah Laura Christian Christina Daniel Daniela Stefan Stefanie Andreas "
    "Andrea Martin Martina Paul Paula Jan Jana Lukas Felix Leon Emma Mia Hannah Sophie Lena Marie Max Moritz "
    "Jonas Tim Tom Nina Eva Katharina Johanna Clara Jakob Simon Simone Florian Sebastian Alexander Alexandra "
    "Robert William James John Elizabeth Susan Margaret Richard Charles Joseph Patricia Jennifer Linda Barbara "
    "Karen Nancy Lisa Betty Helen Sandra Ashley Emily Amanda Melissa Deborah Stephanie Rebecca Sharon Cynthia "
    "Kathleen Amy Angela Anne Louis Louise Pierre Marc Claire Chloe Hugo Jules Alice Manon Camille Antoine José "
    "Lucía Sofía Carlos Miguel Ana Isabel Elena Jürgen Uwe Björn Søren Łukasz Zoë André René Günther Ursula "
    "Renate Ingrid Monika Sabine Petra Ralf Frank Bernd Dieter Klaus"
)
_FAMILY: Final = _words(
    "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch Bauer Richter Klein "
    "Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Smith Johnson Williams Brown "
    "Jones Garcia Miller Davis Rodriguez Martinez Lopez Wilson Anderson Taylor Thomas Moore Martin Lee Thompson "
    "White Harris Clark Lewis Robinson Walker Young Allen King Wright Scott Dubois Durand Leroy Moreau Simon "
    "Laurent Rossi Russo Ferrari"
)
_SYLLABLES: Final = _words(
    "ba be bi bo bu da de di do du fa fe ga go ha he hi ho ka ke ki ko ku la le li lo ma me mi mo mu na ne ni no "
    "pa pe po ra re ri ro ru sa se si so ta te ti to tu va ve vi wa we wi za ze zi"
)
_ENDINGS: Final = ("mann", "er", "son", "ski", "berg", "feld", "ov", "es", "ini", "ard", "ley", "ton", "stein", "ich")
_HAN_FAMILY: Final = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
)
_HAN_GIVEN: Final = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建国文"
    "辉力永健世广志义兴良海山仁波宁贵福生龙元全国胜学祥才发武新"
)
_STREETS: Final = _words("Haupt Bahnhof Garten Schul Kirch Linden Berg Wald Ring Park Mühlen Rosen Birken Wiesen Markt")
_DOMAINS: Final = ("gmail.com", "web.de", "gmx.de", "yahoo.com", "outlook.com", "t-online.de", "qq.com", "163.com")
_BORN: Final = date(1935, 1, 1)

Row = dict[str, str | None]


def make(people: int, seed: int) -> pl.DataFrame:
    """Customers of so many people, shuffled.

    Two in five live with others, of whom a third share an e-mail and a third a phone; some are twins, or a father and
    his son of one name. One person in seven is a customer twice or more, and each of those records is written anew:
    typing errors, another order of the names, another form of address and phone, moved, married, fields left out.

    Returns:
        `customer_id`, `name`, `email`, `phone`, `address`, `postcode`, `city`, `birth_date`, and `person`.
    """
    dice = random.Random(seed)
    families = _families(dice, max(500, people // 25))
    rows: list[Row] = []
    person = 0
    while person < people:
        for member in _household(dice, families):
            person += 1
            copies = dice.choices((0, 1, 2), (86, 12, 2))[0]
            written = [_incomplete(dice, member), *(_corrupted(dice, member, families) for _ in range(copies))]
            rows += [{**row, PERSON: str(person)} for row in written]
    dice.shuffle(rows)
    ids = [f"C{number:08d}" for number in range(len(rows))]
    return pl.DataFrame([_written(row) for row in rows], infer_schema_length=None).insert_column(
        0, pl.Series("customer_id", ids)
    )


def _families(dice: random.Random, count: int) -> tuple[list[str], list[float]]:
    names = list(_FAMILY)
    while len(names) < count:
        names.append(("".join(dice.choices(_SYLLABLES, k=dice.randint(1, 3))) + dice.choice(_ENDINGS)).title())
    total, shares = 0.0, []
    for rank in range(1, len(names) + 1):
        total += rank**-0.8
        shares.append(total)
    return names, shares


def _household(dice: random.Random, families: tuple[list[str], list[float]]) -> list[Row]:
    size = dice.choices((1, 2, 3, 4), (75, 14, 6, 5))[0]
    chinese = dice.random() < 0.15
    family = dice.choice(_HAN_FAMILY) if chinese else dice.choices(families[0], cum_weights=families[1])[0]
    home: Row = {
        "street": dice.choice(_STREETS) + ("straße" if dice.random() < 0.7 else "weg"),
        "number": str(dice.randint(1, 120)),
        "postcode": f"{dice.randint(1, 2500) * 37 % 99999:05d}",
        "city": "Stadt" + dice.choice(_ENDINGS) + dice.choice(_SYLLABLES),
    }
    shared_email, shared_phone = (dice.random() < 1 / 3 for _ in range(2))
    members: list[Row] = []
    for _ in range(size):
        given = "".join(dice.choices(_HAN_GIVEN, k=dice.choice((1, 2, 2)))) if chinese else dice.choice(_GIVEN)
        if any(member["given"] == given for member in members):
            continue  # brothers and sisters have names of their own
        born = _BORN + timedelta(days=dice.randrange(365 * 70))
        if members and dice.random() < 0.05:
            born = date.fromisoformat(str(members[-1]["birth_date"]))  # a twin
        elif members and dice.random() < 0.01:
            given = str(members[-1]["given"])  # a father and his son
        own: Row = {"given": given, "family": family, "birth_date": born.isoformat(), **home}
        own["email"] = members[0]["email"] if members and shared_email else _address(dice, given, family)
        own["phone"] = members[0]["phone"] if members and shared_phone else f"01{dice.randint(50_000_000, 799_999_999)}"
        members.append(own)
    return members


def _address(dice: random.Random, given: str, family: str) -> str:
    plain = "".join(letter for letter in f"{given}.{family}".lower() if letter in string.ascii_lowercase + ".")
    local = plain if len(plain) > 4 else f"u{dice.randint(10**6, 10**9)}"
    number = dice.choice(("", "", str(dice.randint(1, 99)), str(dice.randint(1950, 2005))))
    return f"{local}{number or dice.randint(100, 9999)}@{dice.choice(_DOMAINS)}"


def _incomplete(dice: random.Random, member: Row) -> Row:
    row = dict(member)
    for column, share in (("email", 0.1), ("phone", 0.2), ("birth_date", 0.25), ("street", 0.08), ("postcode", 0.04)):
        if dice.random() < share:
            row[column] = None
    return row


def _corrupted(dice: random.Random, member: Row, families: tuple[list[str], list[float]]) -> Row:
    row = dict(member)
    if dice.random() < 0.12:
        row["phone"] = f"01{dice.randint(50_000_000, 799_999_999)}"
    if dice.random() < 0.15:
        row["email"] = _address(dice, str(row["given"]), str(row["family"]))
    if dice.random() < 0.15:
        row |= {
            "street": dice.choice(_STREETS) + "allee",
            "number": str(dice.randint(1, 120)),
            "postcode": f"{dice.randint(1, 2500) * 37 % 99999:05d}",
        }
    if dice.random() < 0.04:
        row["family"] = dice.choices(families[0], cum_weights=families[1])[0]
    for column, share in (("given", 0.08), ("family", 0.1), ("email", 0.04), ("phone", 0.03), ("street", 0.08)):
        if dice.random() < share:
            row[column] = _mistyped(dice, str(row[column]))
    if dice.random() < 0.02:
        row["birth_date"] = _mistyped_date(dice, str(row["birth_date"]))
    if dice.random() < 0.03:
        row["given"] = str(row["given"])[:1]
    row = _incomplete(dice, row)
    for column, change, share in _STYLES:
        if row[column] is not None and dice.random() < share:
            row[column] = change(str(row[column]))
    row["swapped"] = "yes" if dice.random() < 0.12 else None
    return row


def _mistyped(dice: random.Random, text: str) -> str:
    """One letter left out, doubled, replaced, or swapped with the next."""
    if len(text) < 3 or text[0] > "\u3000":
        return text
    at = dice.randrange(len(text) - 1)
    letter = dice.choice(string.digits if text[at].isdigit() else string.ascii_lowercase)
    middle = dice.choice(("", text[at] * 2, letter, None))
    if middle is None:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + middle + text[at + 1 :]


def _mistyped_date(dice: random.Random, iso: str) -> str:
    born = date.fromisoformat(iso)
    if born.day <= 12 and dice.random() < 0.5:
        return date(born.year, born.day, born.month).isoformat()
    return born.replace(day=(born.day + dice.choice((1, 10)) - 1) % 28 + 1).isoformat()


def _written(row: Row) -> Row:
    given, family = str(row["given"]), str(row["family"])
    if family[0] > "\u3000" and given[0] > "\u3000":
        name = family + given
    elif row.get("swapped"):
        name = f"{family}, {given}"
    else:
        name = f"{given} {family}"
    address = None if row["street"] is None else f"{row['street']} {row['number']}"
    kept = {column: row[column] for column in ("email", "phone", "postcode", "city", "birth_date", PERSON)}
    return {"name": name, "address": address, **kept}


_STYLES: Final[tuple[tuple[str, Callable[[str], str], float], ...]] = (
    ("given", str.upper, 0.1),
    ("family", str.upper, 0.1),
    ("family", lambda text: text.replace("ü", "ue").replace("ö", "oe").replace("ä", "ae"), 0.5),
    ("email", str.title, 0.1),
    ("phone", lambda text: f"+49 {text[1:4]} {text[4:]}", 0.5),
    ("street", lambda text: text.replace("straße", "str."), 0.5),
    ("city", str.upper, 0.1),
)
