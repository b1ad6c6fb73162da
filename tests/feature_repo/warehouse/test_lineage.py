"""The record of where rows went."""

from pathlib import Path

import msgspec
import pytest

from feature_repo.warehouse import lineage
from feature_repo.warehouse.lineage import TableLineage
from motherlode.errors import DataError
from motherlode.settings import Settings


def test_a_table_balances_when_every_row_is_found_again() -> None:
    table = TableLineage("items", "products.parquet", 10, clean=9, merged=1, quarantined=2, derived=3, integrated=10)
    assert table.balanced
    assert not msgspec.structs.replace(table, quarantined=1).balanced


def test_a_record_of_another_version_or_none_reads_as_none(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert lineage.read(settings) is None
    settings.integrated.mkdir()
    (settings.integrated / lineage.LINEAGE).write_text('{"tables": 3}')
    assert lineage.read(settings) is None


def test_a_changed_or_missing_file_no_longer_holds(thin: Settings, tmp_path: Path) -> None:
    known = lineage.read(thin)
    assert known is not None
    assert lineage.holds(thin, known)
    assert not lineage.holds(Settings(home=tmp_path), known)


def test_the_fingerprint_follows_the_content_of_the_files_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(DataError, match="motherlode ingest"):
        lineage.fingerprint(settings)
    settings.integrated.mkdir()
    table = settings.integrated / "items.parquet"
    table.write_bytes(b"one")
    first = lineage.fingerprint(settings)
    (settings.integrated / lineage.LINEAGE).write_text("{}")
    table.write_bytes(b"one")
    assert lineage.fingerprint(settings) == first
    table.write_bytes(b"two")
    assert lineage.fingerprint(settings) != first


def test_a_combined_digest_tells_names_from_contents_and_ignores_order() -> None:
    assert lineage.combine({"a": "1", "b": "2"}) == lineage.combine({"b": "2", "a": "1"})
    assert lineage.combine({"a": "1", "b": "2"}) != lineage.combine({"a": "2", "b": "1"})
