"""Writes the bank's made-up files, the same bytes every time: `python examples/bank_calls/make_data.py`.

Nobody in them exists. The rows that are wrong on purpose stand together in `spoil_…` functions and in the README.
"""

import csv
import io
import random
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from xml.sax.saxutils import escape

DATA: Final = Path(__file__).parent / "data"
SEED: Final = 20250106
FIRST_DAY: Final = date(2025, 1, 6)
DAYS: Final = 210
CLIENTS: Final = 220
CAMPAIGN_ENDS: Final = date(2025, 7, 31)

Row = dict[str, Any]

JOBS: Final = (
    "admin.",
    "blue-collar",
    "technician",
    "services",
    "management",
    "retired",
    "entrepreneur",
    "student",
    "unknown",
)
MARITAL: Final = ("married", "married", "single", "divorced", "unknown")
EDUCATION: Final = ("university", "university", "secondary", "secondary", "primary", "unknown")
MERCHANTS: Final = (
    ("GROC", "Groceries", "Daily needs", 900, 9_000),
    ("REST", "Restaurants", "Leisure", 1_200, 8_000),
    ("FUEL", "Fuel", "Transport", 3_000, 9_500),
    ("RAIL", "Trains and buses", "Transport", 200, 4_500),
    ("PHAR", "Pharmacy", "Health", 400, 6_000),
    ("CLOT", "Clothing", "Leisure", 1_500, 15_000),
    ("ELEC", "Electronics", "Household", 2_500, 60_000),
    ("UTIL", "Electricity and water", "Household", 3_500, 14_000),
    ("INSU", "Insurance", "Household", 2_000, 30_000),
    ("TRAV", "Travel", "Leisure", 5_000, 90_000),
)
CALLED: Final = "%d/%m/%Y %H:%M"
NOTES: Final = (
    "Client is very happy with the new app and thanks the adviser.",
    "Complaint: card was blocked on holiday, nobody called back. Very angry.",
    "Asked about the interest of the savings account; friendly talk.",
    "Client finds the fees unfair and wants to close the account.",
    "Great advice on the mortgage, client was delighted.",
    "Wrong address on the statement, corrected. Client annoyed by the delay.",
    "Client praises the quick help after the card was stolen.",
    "Waited forty minutes on the line, terrible service in the client's words.",
)


def clients(rng: random.Random) -> list[Row]:
    """Who may be called, and which account is theirs."""
    return [
        {
            "client_id": 100_200 + 13 * number,
            "account": f"PT50{rng.randrange(10**8, 10**9)}",
            "age": rng.randrange(19, 84),
            "job": rng.choice(JOBS),
            "marital": rng.choice(MARITAL),
            "education": rng.choice(EDUCATION),
            "default": rng.choice(("no", "no", "no", "unknown")),
            "housing": rng.choice(("yes", "no")),
            "loan": rng.choice(("no", "no", "yes")),
        }
        for number in range(CLIENTS)
    ]


def call(rng: random.Random, people: Sequence[Row]) -> list[Row]:
    """The campaign's calls, one row a client, with the answer; days as DD/MM/YYYY."""
    rows = []
    for person in people:
        if rng.random() < 0.1:
            continue
        at = datetime.combine(FIRST_DAY + timedelta(days=120), datetime.min.time()) + timedelta(
            days=rng.randrange(88), hours=rng.randrange(9, 18), minutes=rng.randrange(60)
        )
        if at.weekday() > 4:
            at -= timedelta(days=2)
        before = rng.random() < 0.25
        eager = 0.08 + 0.3 * before + 0.1 * (person["age"] > 60) + 0.08 * (person["education"] == "university")
        agreed = rng.random() < eager
        rows.append(
            {key: value for key, value in person.items() if key != "account"}
            | {
                "contact": rng.choice(("cellular", "cellular", "telephone")),
                "called_at": f"{at:{CALLED}}",
                "duration": rng.randrange(240, 900) if agreed else rng.randrange(15, 420),
                "campaign": rng.choice((1, 1, 1, 2, 2, 3, 5)),
                "pdays": rng.randrange(3, 30) if before else 999,
                "previous": rng.choice((1, 1, 2)) if before else 0,
                "poutcome": rng.choice(("success", "failure")) if before else "nonexistent",
                "y": "yes" if agreed else "no",
            }
        )
    return sorted(rows, key=lambda row: datetime.strptime(row["called_at"], CALLED))


def call_again(rng: random.Random, rows: Sequence[Row]) -> list[Row]:
    """The calls with second ones: a tenth of those who declined, a week later, and what was learnt by then."""
    again = []
    for row in rows:
        at = datetime.strptime(row["called_at"], CALLED) + timedelta(days=7)
        if row["y"] == "yes" or at.date() > CAMPAIGN_ENDS or rng.random() > 0.1:
            continue
        agreed = rng.random() < 0.3
        again.append(
            row
            | {
                "job": rng.choice(JOBS[:-1]) if row["job"] == "unknown" else row["job"],
                "called_at": f"{at:{CALLED}}",
                "duration": rng.randrange(240, 900) if agreed else rng.randrange(15, 420),
                "campaign": row["campaign"] + 1,
                "y": "yes" if agreed else "no",
            }
        )
    return sorted([*rows, *again], key=lambda row: datetime.strptime(row["called_at"], CALLED))


def post(rng: random.Random, people: Sequence[Row]) -> list[Row]:
    """Account postings in cents, as an account has them: money that leaves is negative."""
    rows: list[Row] = []
    habits = [(rng.random() ** 2 * 0.14 + 0.01, rng.randrange(len(MERCHANTS))) for _ in people]
    for day in range(DAYS):
        booked = FIRST_DAY + timedelta(days=day)
        for person, (often, favourite) in zip(people, habits, strict=True):
            if booked.day == 28:
                rows.append(_posting(rows, booked, person, "SALARY", "", rng.randrange(90_000, 420_000)))
            if rng.random() < often:
                position = favourite if rng.random() < 0.5 else rng.randrange(len(MERCHANTS))
                code, _, _, low, high = MERCHANTS[position]
                rows.append(_posting(rows, booked, person, "CARD", code, -rng.randrange(low, high)))
                if rng.random() < 0.02:
                    rows.append(_posting(rows, booked, person, "REFUND", code, -rows[-1]["amount_cents"]))
    return rows


def _posting(rows: Sequence[Row], booked: date, person: Row, kind: str, code: str, cents: int) -> Row:
    return {
        "posting": f"{booked:%y%m}-{len(rows) + 1:06d}",
        "account": person["account"],
        "booked": f"{booked:%Y%m%d}",
        "kind": kind,
        "merchant_group": code,
        "amount_cents": cents,
    }


def note(rng: random.Random, people: Sequence[Row]) -> list[tuple[Any, ...]]:
    """Service notes: number, client, Excel's day number, channel, text."""
    rows = []
    for number in range(90):
        at = FIRST_DAY + timedelta(days=rng.randrange(DAYS))
        who = rng.choice(people)["client_id"]
        rows.append((number + 1, who, (at - date(1899, 12, 30)).days, rng.choice(("phone", "branch", "mail"))))
    rows.sort(key=lambda row: row[2])
    return [(*row, rng.choice(NOTES)) for row in rows]


def spoil_calls(rows: list[Row]) -> list[Row]:
    """Five rows that are wrong, and one that stands twice."""
    fine = dict(rows[0], y="no")
    return [
        *rows,
        dict(fine, client_id=""),
        dict(fine, client_id=990_001, called_at="31/06/2025 10:00"),
        dict(fine, client_id=990_002, age=211),
        dict(fine, client_id=990_003, y="maybe"),
        dict(fine, client_id=990_004, duration="4:21"),
        dict(rows[5]),
    ]


def spoil_postings(rows: list[Row]) -> list[Row]:
    """A posting of an account that nobody has, and one in euros with a comma."""
    fine = dict(next(row for row in reversed(rows) if row["kind"] == "CARD"))
    return [
        *rows,
        dict(fine, posting="9999-000001", account="PT50000000000"),
        dict(fine, posting="9999-000002", amount_cents="-12,50"),
    ]


def spoil_notes(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """A note whose day somebody typed in words."""
    return [*rows, (91, rows[0][1], "last Tuesday", "phone", "Client asked for a new card.")]


def table(rows: Sequence[Row], quoted: bool = False) -> bytes:
    """Rows as delimited text."""
    text = io.StringIO()
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(text, list(rows[0]), delimiter=";", quoting=quoting, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def workbook(sheet: str, rows: Sequence[Sequence[Any]], dates: int) -> bytes:
    """An Excel file of one sheet; the column numbered `dates` shows day numbers as dates."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(_cell(f"{chr(65 + at)}{number}", value, at == dates) for at, value in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{kind}.styles+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}">'
        f'<sheets><sheet name="{escape(sheet)}" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><fonts count="1"><font/></fonts><fills count="1"><fill/></fills>'
        '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
        '<cellXfs count="2"><xf/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in parts.items():  # a fixed time, so that the bytes are the same every time
            archive.writestr(zipfile.ZipInfo(name, (2025, 8, 4, 0, 0, 0)), head + text, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _cell(at: str, value: Any, is_date: bool) -> str:
    if isinstance(value, int):
        style = ' s="1"' if is_date else ""
        return f'<c r="{at}"{style}><v>{value}</v></c>'
    return f'<c r="{at}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'


def main() -> None:
    """Write every file."""
    rng = random.Random(SEED)
    people = clients(rng)
    calls = call(rng, people)
    postings = post(rng, people)
    notes = note(rng, people)
    calls = call_again(random.Random(SEED), calls)  # dice of its own: the other files stay as they are
    groups = [{"code": code, "name": name, "area": area} for code, name, area, _, _ in MERCHANTS]
    campaigns: list[Row] = [
        {"campaign": "SAVE24", "kind": "savings account", "from": "02/09/2024", "to": "29/11/2024", "calls": ""},
        {
            "campaign": "TERM25",
            "kind": "term deposit",
            "from": "05/05/2025",
            "to": f"{CAMPAIGN_ENDS:%d/%m/%Y}",
            "calls": len(calls),
        },
    ]
    heading = ("No", "Client", "Date", "Channel", "Note")

    DATA.mkdir(exist_ok=True)
    (DATA / "phone_calls.csv").write_bytes(table(spoil_calls(calls), quoted=True))
    (DATA / "campaigns.csv").write_bytes(table(campaigns))
    (DATA / "accounts.csv").write_bytes(
        table([{"account": person["account"], "client_id": person["client_id"]} for person in people])
    )
    (DATA / "merchant_groups.csv").write_bytes(table(groups))
    (DATA / "postings.csv").write_bytes(table(spoil_postings(postings)))
    sheet = [("Service notes, branch Porto, exported 4 August 2025",), heading, *spoil_notes(notes)]
    (DATA / "service_notes.xlsx").write_bytes(workbook("Notes", sheet, dates=2))


if __name__ == "__main__":
    main()
