"""Writes the online shop's made-up files, the same bytes every time: `python examples/online_shop/make_data.py`.

Nobody in them exists. The rows that are wrong on purpose stand together in `spoil_…` functions and in the README.
"""

import csv
import io
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

DATA: Final = Path(__file__).parent / "data"
SEED: Final = 20250301
FIRST_DAY: Final = date(2025, 3, 1)
DAYS: Final = 184
BERLIN: Final = ZoneInfo("Europe/Berlin")
PEOPLE: Final = 170

Row = dict[str, Any]

GROUPS: Final[Mapping[str, Sequence[tuple[str, str, str, float]]]] = {
    "Tee": [
        ("Grüner Tee", "Sencha Uji", "Morgenblatt", 12.9),
        ("Grüner Tee", "Longjing", "Westsee", 18.5),
        ("Grüner Tee", "Biluochun", "Westsee", 21.0),
        ("Grüner Tee", "Genmaicha", "Morgenblatt", 9.8),
        ("Schwarzer Tee", "Assam Breakfast", "Nordwind", 7.5),
        ("Schwarzer Tee", "Darjeeling First Flush", "Nordwind", 16.9),
        ("Schwarzer Tee", "Earl Grey", "Nordwind", 8.2),
        ("Schwarzer Tee", "Lapsang Souchong", "Westsee", 11.4),
        ("Oolong", "Tie Guan Yin", "Westsee", 19.9),
        ("Oolong", "Da Hong Pao", "Westsee", 28.0),
        ("Weißer Tee", "Bai Mu Dan", "Westsee", 14.3),
        ("Kräutertee", "Pfefferminze", "Wiesengrund", 4.9),
        ("Kräutertee", "Kamille", "Wiesengrund", 4.5),
        ("Kräutertee", "Rooibos Vanille", "Wiesengrund", 6.4),
    ],
    "Zubehör": [
        ("Kannen", "Gusseisenkanne 0,8 l", "Eisenhütte", 59.0),
        ("Kannen", "Glaskanne 1 l", "Klarglas", 24.9),
        ("Tassen", "Teeschale blau", "Klarglas", 9.5),
        ("Tassen", "Becher mit Sieb", "Klarglas", 17.9),
        ("Siebe", "Teesieb fein", "Eisenhütte", 6.9),
        ("Siebe", "Filterpapier 100 St.", "Wiesengrund", 3.2),
    ],
    "Naschwerk": [
        ("Gebäck", "Mandelkekse", "Backstube", 5.4),
        ("Gebäck", "Matcha-Kekse", "Backstube", 6.8),
        ("Honig", "Lindenhonig", "Wiesengrund", 7.9),
        ("Honig", "Waldhonig", "Wiesengrund", 8.9),
    ],
}
FIRST_NAMES: Final = (
    "Anna",
    "Jürgen",
    "Sabine",
    "Björn",
    "Käthe",
    "Lukas",
    "Miriam",
    "Jörg",
    "Heike",
    "Tobias",
    "Renate",
    "Günter",
    "Lena",
    "Matthias",
)
LAST_NAMES: Final = (
    "Müller",
    "Schäfer",
    "Weiß",
    "Köhler",
    "Brandt",
    "Vogel",
    "Böhm",
    "Krämer",
    "Lorenz",
    "Jäger",
    "Haas",
    "Grünwald",
    "Seidel",
    "Voß",
)
CHINESE: Final = ("Wei Chen", "Fang Liu", "Min Zhang", "Li Wang", "Hui Zhao", "Jun Huang", "Xia Zhou", "Lei Wu")
STREETS: Final = ("Lindenstraße", "Am Markt", "Goethestraße", "Mühlenweg", "Bahnhofstraße", "Königsallee")
CITIES: Final = (
    ("10115", "Berlin"),
    ("20095", "Hamburg"),
    ("50667", "Köln"),
    ("80331", "München"),
    ("88131", "Lindau"),
)
GOOD: Final = (
    "Wonderful aroma, I drink it every morning and would buy it again.",
    "Excellent quality and very fast delivery, thank you!",
    "Really lovely, fresh taste. My favourite by far.",
    "味道清香，回甘持久，非常满意，下次还会再买。",
    "包装精美，物流很快，茶叶品质很好，推荐购买！",
    "很喜欢，性价比高，客服态度也很好。",
)
BAD: Final = (
    "Terrible. The bag was open and the tea tasted stale.",
    "Very disappointed, it arrived broken and nobody answers my mail.",
    "Bitter and awful, a waste of money.",
    "味道很差，完全不值这个价，太失望了。",
    "包装破损，客服不理人，再也不会买了。",
    "茶叶有霉味，质量太差，要求退货。",
)


@dataclass(frozen=True)
class Sold:
    """What was sold: the shop's numbers, and who bought what when."""

    orders: list[Row]
    lines: list[Row]


def products() -> list[Row]:
    """The catalogue."""
    rows: list[Row] = []
    for department, things in GROUPS.items():
        for category, name, brand, price in things:
            sku = f"T-{1001 + 7 * len(rows)}"
            rows.append(
                {"sku": sku, "name": name, "department": department, "category": category, "brand": brand}
                | {"list_price": f"{price:.2f}"}
            )
    return rows


def people(rng: random.Random) -> list[Row]:
    """The CRM's customers, in the CRM's German."""
    rows: list[Row] = []
    for number in range(PEOPLE):
        german = number % 8 != 5
        first, last = (
            (rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)) if german else tuple(rng.choice(CHINESE).split())
        )
        postcode, city = rng.choice(CITIES)
        born = date(1948, 1, 1) + timedelta(days=rng.randrange(20_000))
        since = FIRST_DAY - timedelta(days=rng.randrange(1, 1200))
        rows.append(
            {
                "Kundennr": f"K{10_001 + 3 * number}",
                "Vorname": first,
                "Nachname": last,
                "E-Mail": f"{_ascii(first)}.{_ascii(last)}{number}@example.{'de' if german else 'cn'}".lower(),
                "Telefon": f"+49 {rng.randrange(30, 90)} {rng.randrange(10**6, 10**7)}",
                "Straße": f"{rng.choice(STREETS)} {rng.randrange(1, 120)}",
                "PLZ": postcode,
                "Ort": city,
                "Geburtsdatum": "" if rng.random() < 0.12 else f"{born:%d.%m.%Y}",
                "Kunde seit": f"{since:%d.%m.%Y}",
                "Umsatz": "",
                "Newsletter": rng.choice(("ja", "ja", "nein")),
                "Profilbildung": rng.choice(("ja", "nein", "")),
            }
        )
    return rows


def sell(rng: random.Random, customers: Sequence[Row], catalogue: Sequence[Row]) -> Sold:
    """Orders and their lines, day by day; some customers buy often, most seldom."""
    orders: list[Row] = []
    lines: list[Row] = []
    eager = [rng.random() ** 3 + 0.05 for _ in customers]
    favourite = [rng.randrange(len(catalogue)) for _ in customers]
    for day in range(DAYS):
        for _ in range(rng.randrange(2, 6)):
            who = rng.choices(range(len(customers)), eager)[0]
            at = datetime.combine(FIRST_DAY + timedelta(days=day), datetime.min.time()) + timedelta(
                seconds=rng.randrange(7 * 3600, 23 * 3600)
            )
            number = f"A{500_000 + len(orders)}"
            total = 0.0
            for line in range(1, rng.choice((2, 2, 3, 3, 4, 5))):
                product = catalogue[favourite[who] if rng.random() < 0.4 else rng.randrange(len(catalogue))]
                pieces = rng.choice((1, 1, 1, 2, 3))
                full = pieces * float(product["list_price"])
                off = round(0.1 * full, 2) if rng.random() < 0.2 else 0.0
                total += full - off
                lines.append(
                    {"order_no": number, "line": line, "sku": product["sku"], "qty": pieces}
                    | {"discount": f"{off:.2f}", "line_total": f"{full - off:.2f}"}
                )
            orders.append(
                {
                    "order_no": number,
                    "customer_no": customers[who]["Kundennr"],
                    "ordered_at": f"{at:%Y-%m-%d %H:%M:%S}",
                    "channel": rng.choice(("web", "web", "app", "phone")),
                    "status": "cancelled" if rng.random() < 0.03 else "paid",
                    "total": f"{total:.2f}",
                }
            )
    return Sold(orders, lines)


def send_back(rng: random.Random, sold: Sold) -> list[Row]:
    """Returns, a file of their own: pieces and refund as positive numbers."""
    headers = {order["order_no"]: order for order in sold.orders}
    rows: list[Row] = []
    for line in sold.lines:
        order = headers[line["order_no"]]
        if order["status"] == "cancelled" or rng.random() > 0.06:
            continue
        at = datetime.fromisoformat(order["ordered_at"]) + timedelta(days=rng.randrange(3, 15), hours=2)
        if at.date() >= FIRST_DAY + timedelta(days=DAYS):
            continue
        rows.append(
            {
                "return_no": f"R{9000 + len(rows)}",
                "order_no": line["order_no"],
                "sku": line["sku"],
                "returned": f"{at:%d.%m.%Y %H:%M}",
                "pieces": line["qty"],
                "refund": line["line_total"],
            }
        )
    return rows


def bill(customers: Sequence[Row], sold: Sold, returns: Sequence[Row]) -> None:
    """What the CRM believes that each customer has spent, with a decimal comma."""
    owner = {order["order_no"]: order for order in sold.orders}
    spent = dict.fromkeys((customer["Kundennr"] for customer in customers), 0.0)
    for line in sold.lines:
        order = owner[line["order_no"]]
        if order["status"] == "paid":
            spent[order["customer_no"]] += float(line["line_total"])
    for back in returns:
        spent[owner[back["order_no"]]["customer_no"]] -= float(back["refund"])
    for customer in customers:
        whole = f"{spent[customer['Kundennr']]:,.2f}"
        customer["Umsatz"] = whole.replace(",", " ").replace(".", ",").replace(" ", ".")


def browse(rng: random.Random, sold: Sold, customers: Sequence[Row], catalogue: Sequence[Row]) -> list[Row]:
    """Web events of the last six weeks: visits of one to five pages, logged in half of the time, times in UTC."""
    start = datetime.combine(FIRST_DAY + timedelta(days=DAYS - 42), datetime.min.time(), BERLIN)
    cookies = [f"{rng.getrandbits(48):012x}" for _ in customers]
    rows: list[Row] = []
    for _ in range(330):
        who = rng.randrange(len(customers))
        at = start + timedelta(seconds=rng.randrange(42 * 86_400 - 7200))
        known = rng.random() < 0.5
        referrer = rng.choice((None, "https://search.example/", "newsletter", "https://tea-blog.example/"))
        for step in range(rng.choice((1, 1, 2, 3, 4, 5))):
            product = rng.choice(catalogue)
            kind = "page_view" if step == 0 else rng.choice(("page_view", "page_view", "search", "add_to_cart"))
            row: Row = {"ts": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", "cookie": cookies[who], "event": kind}
            if known:
                row["customer_no"] = customers[who]["Kundennr"]
            if kind == "search":
                row |= {"url": "/search", "q": rng.choice(("sencha", "teekanne", "geschenk", "龙井", "oolong"))}
            else:
                row |= {"url": f"/p/{product['sku']}", "sku": product["sku"]}
            if step == 0 and referrer is not None:
                row["referrer"] = referrer
            rows.append(row)
            at += timedelta(seconds=rng.randrange(15, 400))
    return sorted(rows, key=lambda row: str(row["ts"]))


def review(rng: random.Random, sold: Sold) -> list[Row]:
    """Reviews in English and Chinese, some weeks after the order."""
    lines = {line["order_no"]: line for line in sold.lines}
    rows: list[Row] = []
    for order in sold.orders:
        at = datetime.fromisoformat(order["ordered_at"]) + timedelta(days=rng.randrange(4, 20))
        if rng.random() > 0.2 or at.date() >= FIRST_DAY + timedelta(days=DAYS):
            continue
        pleased = rng.random() < 0.75
        rows.append(
            {
                "review_id": 70_000 + len(rows),
                "customer_no": order["customer_no"],
                "sku": lines[order["order_no"]]["sku"],
                "stars": rng.choice((4, 5, 5)) if pleased else rng.choice((1, 1, 2)),
                "comment": rng.choice(GOOD if pleased else BAD),
                "written": f"{at:%Y-%m-%d %H:%M}",
            }
        )
    return rows


def spoil_customers(rows: list[Row]) -> list[Row]:
    """Six people twice under another number, as CRMs have them; and three rows that are wrong."""
    twins = []
    for position, row in enumerate(rows[10:70:10]):
        twin = dict(row, Kundennr=f"K{20_001 + position}", Umsatz="0,00", Newsletter="nein")
        twin["Kunde seit"] = "14.08.2025"
        twin["Vorname"] = _ascii(row["Vorname"]) if position % 2 else row["Vorname"]
        twin["Nachname"] = row["Nachname"] if position % 2 else _ascii(row["Nachname"])
        twin["Straße"] = row["Straße"].replace("straße", "str.")
        twins.append(twin)
    nobody = dict(rows[3], Kundennr="")
    impossible = dict(rows[4], Kundennr="K30001", **{"Kunde seit": "31.02.2024"})
    stranger = dict(rows[5], Kundennr="K30002", Newsletter="vielleicht")
    rows[7]["Umsatz"] = "9.999,00"  # the CRM and the orders disagree: the check names this customer
    return [*rows, *twins, nobody, impossible, stranger]


def spoil_sales(sold: Sold) -> Sold:
    """One order header in the hour that the clock skipped; seven lines that are wrong."""
    orders, lines = list(sold.orders), list(sold.lines)
    skipped = dict(orders[0], order_no="A600001", ordered_at="2025-03-30 02:30:00", total="4.90", status="paid")
    fine = {"order_no": orders[-1]["order_no"], "sku": "T-1001", "qty": 1, "discount": "0.00", "line_total": "12.90"}
    wrong = [
        dict(fine, order_no="A600001", line=1),
        dict(fine, order_no="A699999", line=1),
        dict(fine, line=91, qty="zwei"),
        dict(fine, line=92, qty=0),
        dict(fine, line=93, discount="-1.00"),
        dict(fine, line=94, line_total="12,9O"),
        dict(fine, line=lines[-1]["line"], sku="T-1008"),
    ]
    twice = dict(lines[-3])
    return Sold([*orders, skipped], [*lines, *wrong, twice])


def spoil_returns(rows: list[Row]) -> list[Row]:
    """A return on a day that never was."""
    return [*rows, dict(rows[-1], return_no="R9999", returned="31.06.2025 10:00")]


def spoil_events(rows: list[Row]) -> list[str]:
    """An event of nobody, and a line that was cut while it was written."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    nobody = {key: value for key, value in rows[-1].items() if key not in ("cookie", "customer_no")}
    return [*lines[:100], json.dumps(nobody), *lines[100:-1], lines[-1], lines[200][:40]]


def spoil_reviews(rows: list[Row]) -> list[Row]:
    """Six stars of five, and a review from the far future."""
    return [
        *rows,
        dict(rows[0], review_id=79_998, stars=6),
        dict(rows[1], review_id=79_999, written="2199-01-01 00:00"),
    ]


def table(rows: Sequence[Row], delimiter: str = ",") -> str:
    """Rows as delimited text, quoted where needed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write(path: str, content: str, encoding: str = "utf-8") -> None:
    """A file below `data/`."""
    target = DATA / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.encode(encoding))


def _ascii(name: str) -> str:
    for letter, plain in (("ü", "ue"), ("ö", "oe"), ("ä", "ae"), ("ß", "ss"), ("Ü", "Ue")):
        name = name.replace(letter, plain)
    return name


def main() -> None:
    """Write every file."""
    rng = random.Random(SEED)
    catalogue = products()
    customers = people(rng)
    sold = sell(rng, customers, catalogue)
    returns = send_back(rng, sold)
    bill(customers, sold, returns)
    events = browse(rng, sold, customers, catalogue)
    reviews = review(rng, sold)

    spoiled = spoil_sales(sold)
    months = sorted({str(order["ordered_at"])[:7] for order in sold.orders})
    home = {order["order_no"]: str(order["ordered_at"])[:7] for order in spoiled.orders}
    for month in months:
        write(f"orders/orders_{month}.csv", table([o for o in spoiled.orders if home[o["order_no"]] == month]))
        lines = [line for line in spoiled.lines if home.get(line["order_no"], months[-1]) == month]
        write(f"order_lines/lines_{month}.csv", table(lines))
    # One line has a field too many: somebody typed a comma into a number.
    last = DATA / "order_lines" / f"lines_{months[-1]}.csv"
    write(f"order_lines/{last.name}", last.read_text(encoding="utf-8") + "A500001,95,T-1001,1,0.00,1,290.00\n")
    write("returns.csv", table(spoil_returns(returns)))
    write("products.tsv", table(catalogue, "\t"))
    write("kunden.csv", table(spoil_customers(customers), ";"), "latin-1")
    write("events.jsonl", "\n".join(spoil_events(events)) + "\n")
    write("reviews.csv", table(spoil_reviews(reviews)), "utf-8-sig")


if __name__ == "__main__":
    main()
