"""docs/data.md says of the mapping, the tables and the rules what the code has."""

import ast
import inspect
import re
from pathlib import Path

import msgspec
import pytest

import feature_repo.warehouse.mapping.model as model
from feature_repo.warehouse.contract import RULES, TABLES, Table
from feature_repo.warehouse.duplicates import CONFLICT, OUTDATED, REPLACED, TWICE
from feature_repo.warehouse.integrate.imputing import NOTHING
from feature_repo.warehouse.integrate.table import SAME_PERSON
from feature_repo.warehouse.lookups import UNUSED
from feature_repo.warehouse.mapping.columns import MATCHED
from feature_repo.warehouse.mapping.functions import NAMES
from feature_repo.warehouse.verdicts import EXCLUDED
from motherlode.cli import ingest
from motherlode.cli.main import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"
INTEGRATE = Path(__file__).parents[2] / "feature_repo" / "warehouse" / "integrate"
TEXT = (DOCS / "data.md").read_text(encoding="utf-8")

SECTIONS = {
    model.Mapping: "The file",
    model.Source: "Sources",
    model.TableMap: "Tables",
    model.ColumnMap: "Columns",
    model.Join: "Look-ups",
    model.RowRule: "Rules of your own",
    model.Matching: "Matching",
    model.Threshold: "Thresholds",
    model.Check: "Checks",
    model.Total: "Checks",
    model.Impute: "Imputation in the mapping",
    model.Key: "Privacy in the mapping",
}


def section(heading: str) -> str:
    """The text below a heading, up to the next one."""
    found = re.search(rf"^#+ `?{re.escape(heading)}`?\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/data.md has no heading {heading!r}"
    return found[1]


def test_every_block_of_the_mapping_has_a_section() -> None:
    blocks = {it for it in vars(model).values() if isinstance(it, type) and issubclass(it, msgspec.Struct)}
    assert {it for it in blocks if it.__struct_fields__} == set(SECTIONS)


@pytest.mark.parametrize("block", SECTIONS, ids=lambda it: it.__name__)
def test_every_key_of_the_mapping_is_documented(block: type[msgspec.Struct]) -> None:
    documented = set(re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows(section(SECTIONS[block])))))
    assert set(block.__struct_encode_fields__) <= documented


@pytest.mark.parametrize(("name", "table"), TABLES.items(), ids=list(TABLES))
def test_every_canonical_column_is_documented_as_the_contract_has_it(name: str, table: Table) -> None:
    documented = {row.split("|")[1].strip().strip("`"): row for row in rows(section(name))}
    assert list(documented) == list(table.columns)
    for column, it in table.columns.items():
        row = documented[column]
        assert it.doc in row
        assert ("**required**" in row) == (it.required and it.default is None)
        assert (it.privacy == "none") == (it.privacy not in row.split(";")[-1])


def test_every_rule_of_the_contract_is_documented() -> None:
    documented = section("Rules")
    assert [rule.name for of in RULES.values() for rule in of if f"`{rule.name}`" not in documented] == []


def test_every_rule_that_rejects_after_cleaning_is_documented() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in sorted(INTEGRATE.glob("*.py")))
    found = set(re.findall(r'reject\([^"\n]*"([a-z ]+)"', code)) | {CONFLICT, UNUSED, EXCLUDED, NOTHING}
    assert {"not contacted", "outside its campaign"} <= found
    assert [name for name in sorted(found) if f"`{name}`" not in section("Rules")] == []


def test_every_reason_of_a_merge_is_documented() -> None:
    reasons = (TWICE, REPLACED, OUTDATED, SAME_PERSON)
    assert [reason for reason in reasons if f"*{reason}*" not in section("Merges")] == []


def test_every_heading_of_the_rows_table_is_documented() -> None:
    headings = re.search(r"for heading in (\(.+\)):", inspect.getsource(ingest.show))
    assert headings is not None
    documented = [row.split("|")[1].strip() for row in section("Layers").splitlines() if row.startswith("| ")]
    assert [each for each in ast.literal_eval(headings[1])[1:] if each not in documented] == []


def test_every_function_and_every_compared_column_is_documented() -> None:
    assert [name for name in NAMES if f"`{name}`" not in section("Expressions")] == []
    assert [name for name in MATCHED if f"`{name}`" not in section("Matching")] == []


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"motherlode ([a-z]+)\b", TEXT))
    assert named - {"inspect"} <= set(COMMANDS) | {"inspect"}


def test_links_and_pictures_lead_somewhere() -> None:
    headings = {slug(heading) for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (DOCS / target).exists(), target


def rows(text: str) -> list[str]:
    """A table's rows, headings left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    return [line for line in lines if "`" in line.split("|")[1]]


def slug(heading: str) -> str:
    """A heading's anchor."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
