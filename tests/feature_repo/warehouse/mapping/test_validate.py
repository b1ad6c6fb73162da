"""Every mistake in a mapping is told with its line, its keys, its value and what was likely meant, before any data."""

import re
from pathlib import Path

import pytest

from feature_repo.warehouse.mapping.read import Project, parse
from motherlode.errors import DataError


def test_the_sound_mapping_is_read_as_it_stands(shop: Project) -> None:
    assert list(shop.mapping.tables) == ["transactions", "items", "customers", "interactions"]


_MISTAKES = [
    # written, mistaken, line told, what is told
    ("unit: 0.01", "unt: 0.01", 26, "tables.transactions.columns.amount.unt: there is no such key here", "'unit'"),
    ("company: Lantern & Sons\n", "", 1, "it lacks the key 'company'", "company"),
    ("currency: EUR", "currency: euro", 3, "currency: 'euro' is no currency", "ISO 4217"),
    ("Europe/Berlin", "Europe/Belrin", 4, "time_zone: there is no time zone 'Europe/Belrin'", "'Europe/Berlin'"),
    ("Europe/Berlin", "Berlin", 4, "there is no time zone 'Berlin'", "'Europe/Berlin'"),
    ("from: orders", "from: order", 18, "transactions.from: there is no source 'order'", "'orders'"),
    ("  items:", "  item:", 33, "tables.item: there is no table 'item'", "'items'"),
    ("  items:", "  sessions:", 33, "sessions is made by the warehouse", "Leave it out"),
    ("item_id: sku", "itm_id: sku", 24, "transactions takes no columns of a company's own", "'item_id'"),
    ("basket_id: order_no", "local_timestamp: order_no", 23, "local_timestamp is made by the warehouse", ""),
    ("      item_id: sku\n", "", 21, "columns: transactions needs the column 'item_id'", "what was sold"),
    ("unit: 0.01", "unit: cents", 26, "amount.unit: it is 'cents'; expected a number", ""),
    ("unit: 0.01", "unit: 0", 26, "amount.unit: 0 is no unit", "0.01"),
    ("from: cents,", "from: cents, sql: cents,", 26, "it gives from and sql", "one of"),
    ("{from: cents, unit: 0.01", "{unit: 0.01", 26, "it says nothing of where its values come from", ""),
    ("from: cents,", "from: cents, type: string,", 26, "amount is a number, not a string", "leave `type` out"),
    ("min: -5000", "min: 6000", 26, "its min 6000 is above its max 5000", ""),
    ("min: -5000", "min: little", 26, "amount.min: 'little' is no number", ""),
    ("max: 2020-01-01", "max: 2020-02-30", 45, "born.max: '2020-02-30' is no date", ""),
    ("severity: warn", "severity: warning", 26, "severity: it is 'warning'; expected one of fail, warn", "'warn'"),
    ("otherwise: keep", "otherwise: kept", 27, "otherwise: it is 'kept'", "'keep'"),
    ("item_name: title", "item_name: {from: title, unit: 2}", 37, "item_name.unit: a string has none", "number"),
    ("item_name: title", "item_name: {from: title, format: '%Y'}", 37, "format: a string has none", ""),
    ("from: price, type: integer", "from: price", 38, "a column of your own needs a `type`", "integer"),
    ("customer_id: id", "costumer_id: id", 42, "a column of your own needs a `type`", "'customer_id'"),
    ("type: boolean", "type: string", 44, "consent_marketing.type: a consent is no string", "boolean"),
    ('"%d.%m.%Y %H:%M"', "DD.MM.YYYY", 28, "event_timestamp.format[0]: format 'DD.MM.YYYY' is none", "%d.%m.%Y"),
    ('"%d.%m.%Y %H:%M"', '"%H:%M"', 28, "event_timestamp.format[0]: format '%H:%M' gives no day", ""),
    ("state <> 'void'", "state <> 'void", 29, "where: \"state <> 'void\" is no SQL expression", ""),
    ("SIGN(pieces)", "SIN(pieces)", 25, "quantity.sql: there is no function SIN", "'SIGN'"),
    ("SIGN(pieces)", "SUM(pieces)", 25, "quantity.sql: SUM(pieces) looks at more than one row", ""),
    ("products.kind", "crm.kind", 25, "crm.kind looks up 'crm', which is not joined", "join"),
    ("{source: products,", "{source: product,", 20, "join[0].source: there is no source 'product'", "'products'"),
    ("[basket_id, item_id]", "[basket_id, itemid]", 30, "key[1]: 'itemid' is not mapped", "'item_id'"),
    ("ABS(amount) <=", "ABS(price) <=", 32, "rules[0].sql: there is no column 'price'", "columns of the table"),
    ("column: amount}", "column: amout}", 32, "rules[0].column: there is no column 'amout'", "'amount'"),
    ('<= 1000 * ABS(quantity)"', '- 1000"', 32, "gives a number, not true or false", ""),
    ("class: quasi", "class: private", 45, "class: it is 'private'; expected one of identifier, quasi", ""),
    ("{by: median, within", "{by: average, within", 46, "impute.by: it is 'average'; expected one of mean, median", ""),
    ("within: [segment]", "within: [segmnt]", 46, "within[0]: there is no column 'segmnt'", "'segment'"),
    ("by: median, within: [segment]", "by: rule", 46, "impute: by rule it needs `sql`", ""),
    ("{by: median, within: [segment]}", "{by: rule, sql: 'segment'}", 46, "'segment' is a string, not", "CAST"),
    ("[A, B, C]", "A", 47, "segment.allowed: it is 'A'; expected a list", "[a, b]"),
    ("visitor_id: cookie", "page: cookie", 52, "page: it stands here and in line 51", "Keep one"),
    ("      visitor_id: cookie\n", "", 50, "interactions are nobody's", "visitor_id"),
    ("epoch_ms", "epoch", 53, "format 'epoch' is none of strptime's", "epoch_ms"),
    ("email: mail", "mail: mail", 55, "customers are not compared by 'mail'", "'email'"),
    ("threshold: 0.9", "threshold: 90", 56, "matching.threshold: 90 is no probability", ""),
    ("fail: 0.2", "fail: 20", 58, "quality.transactions.fail: 20 is no share", "0 to 1"),
    ("warn: 0.01", "warn: 0.5", 58, "it warns at 0.5, above 0.2", ""),
    ("  transactions: {warn", "  transaction: {warn", 58, "there is no table 'transaction'", "'transactions'"),
    ("customers, by: customer_id", "customers, by: customer", 62, "customers has no column 'customer'", "customer_id"),
    ("tolerance: 0.05", "tolerance: -1", 63, "checks[0].tolerance: -1 is no tolerance", ""),
    ("minutes: 20", "minutes: 0", 64, "session_gap_minutes: 0 is no pause", ""),
    ("hmac-sha256", "sha256", 65, "privacy.pseudonym: it is 'sha256'", "can be searched through"),
    ("hmac-sha256", "md5", 65, "privacy.pseudonym: it is 'md5'", "can be searched through"),
    ("encrypt_raw: true", "encrypt_raw: yes", 65, "it is 'yes'; expected true or false", "no other word"),
    ('decimal: ","', 'decimal: ";"', 8, "decimal: it is ';'; expected one of ., ,", ""),
    ('thousands: "."', 'thousands: ","', 9, "sources.orders.thousands: it is the decimal sign too", ""),
    ("    query: SELECT * FROM people\n", "", 12, "sources.crm: a database needs a `query`", "SELECT"),
    ("postgresql://reader:${PASSWORD}@db/crm", "secret", 13, "sources.crm.database: it is no URL", "postgresql"),
    ("{files: products.parquet}", "{file: products.parquet}", 11, "products.file: there is no such key", "files"),
    ("{files: products.parquet}", "{}", 11, "it needs either `files` or a `database`", ""),
    ("{files: products.parquet}", "{files: p.csv, delimiter: '\\t'}", 11, "'\\\\t' is not one sign", "double quotes"),
    ("{files: products.parquet}", "{files: p.csv, encoding: utf9}", 11, "there is no encoding 'utf9'", "gbk"),
    ("{files: products.parquet}", "{files: p.csv, header: false}", 11, "without a header it needs `columns`", ""),
    ("{files: products.parquet}", "{files: p, format: xls}", 11, "format: it is 'xls'; expected one of", ""),
    ("  products: {files", "  my-products: {files", 11, "'my-products' is no name for a source", ""),
    ("version: 1", "version: 2", 1, "version: it is '2'; expected one of 1", ""),
    ("    from: crm\n", "    from: crm\n\tx: 1\n", 41, "is no YAML", "blanks"),
    ("      item_name: title", "      outside_id: x", 37, "outside_id is made by the warehouse", "Leave it out"),
    ("customer_id: id", "customer_id: {from: id, class: none}", 42, "customer_id is an identifier", "made-up"),
    ("after_outcome: true", "class: identifier", 38, "an identifier becomes a pseudonym", "string"),
    ("from: cents,", "from: cents, after_outcome: true,", 26, "amount belongs to every company", ""),
    ('"?": null', '"": web', 27, "channel.values: it maps the empty text", "impute"),
    ("price_cents: {", "into_customer_id: {", 38, "the warehouse itself has a column 'into_customer_id'", "another"),
    ("price_cents: {", "into_unit: {", 38, "the warehouse itself has a column 'into_unit'", "another"),
    ("price_cents: {", "_key: {", 38, "'_key' is no name for a column", "a letter first"),
    ("price_cents: {", "price cents: {", 38, "'price cents' is no name for a column", ""),
    ("column: amount, where", "column: channel, where", 61, "checks[0].left.column: channel is no number", "count"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "mistaken", "line", "problem", "remedy"),
    [pytest.param(*mistake, id=mistake[1][:40].strip()) for mistake in _MISTAKES],
)
def test_a_mistake_is_told_where_it_stands(
    shop_text: str, written: str, mistaken: str, line: int, problem: str, remedy: str
) -> None:
    assert shop_text.count(written) >= 1
    with pytest.raises(DataError) as caught:
        parse(shop_text.replace(written, mistaken, 1).encode(), Path("motherlode.yaml"))
    assert caught.value.problem.startswith(f"motherlode.yaml, line {line}")
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("identities", "'identities' is the warehouse's own record"),
        ("transactions", "'transactions' is looked up in, and is no source of the table transactions"),
        ("../x", "'../x' is no name for a source"),
        (".x", "'.x' is no name for a source"),
    ],
)
def test_a_source_is_not_called_like_what_it_is_not(name: str, problem: str) -> None:
    text = f"""
company: A shop
sources: {{sales: {{files: a.csv}}, "{name}": {{files: b.csv}}}}
tables:
  transactions:
    from: sales
    join: [{{source: "{name}", on: i}}]
    columns: {{customer_id: c, item_id: i, amount: m, quantity: q, event_timestamp: t}}
"""
    with pytest.raises(DataError, match=re.escape(problem)):
        parse(text.encode(), Path("motherlode.yaml"))
    fed = text.replace("from: sales", f'from: "{name}"').replace(f'source: "{name}"', "source: sales")
    if name == "transactions":
        assert parse(fed.encode(), Path("motherlode.yaml"))


def test_a_password_is_told_to_nobody(shop_text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(shop_text.replace("postgresql://reader:${PASSWORD}@db/crm", "hunter2").encode(), Path("motherlode.yaml"))
    assert "hunter2" not in str(caught.value)


def test_blocks_of_one_table_must_make_one_table(shop_text: str) -> None:
    one = "  items:\n    from: products\n    columns:\n      item_id: product_no\n"
    two = (
        "  items:\n"
        "  - from: web\n    columns: {item_id: sku, price_cents: {from: p, type: number}}\n"
        "  - from: products\n    columns:\n      item_id: product_no\n"
    )
    with pytest.raises(DataError, match=r"items\[1\].columns.price_cents: its `type`, `class` or `after_outcome`"):
        parse(shop_text.replace(one, two, 1).encode(), Path("motherlode.yaml"))
