"""Raw files at rest: nothing of them shows without the key, and whatever is wrong with one is told with its name."""

import gc
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.warehouse import vault
from feature_repo.warehouse.mapping.model import Key, Mapping
from motherlode.errors import DataError
from motherlode.settings import Settings

A, B = "the first raw key of all", "the second raw key of all"
ROWS = pa.table({"email of": ["anna@example.com", None] * 500, "n": list(range(1000))})


def with_keys(home: Path, raw_key: str | None = None, previous: str | None = None) -> Settings:
    return Settings(home=home, raw_key=raw_key, previous_raw_key=previous)


def put(path: Path, settings: Settings) -> Path:
    with vault.writer(path, ROWS.schema, settings) as writer:
        writer.write_table(ROWS, row_group_size=300)
    return path


def test_what_was_written_is_read_by_whoever_has_the_key(tmp_path: Path) -> None:
    path = put(tmp_path / "a file", with_keys(tmp_path, A))
    for settings in (with_keys(tmp_path, A), with_keys(tmp_path, B, A), with_keys(tmp_path, None, A)):
        with vault.reader(path, settings) as file:
            gc.collect()
            assert file.read().equals(ROWS)
            assert file.read(["n"])["n"].to_pylist() == list(range(1000))
            parts = list(vault.batches(file, path, 128, ["n"]))
            assert [n for part in parts for n in part["n"].to_pylist()] == list(range(1000))


def test_neither_values_nor_columns_nor_statistics_show(tmp_path: Path) -> None:
    content = put(tmp_path / "a", with_keys(tmp_path, A)).read_bytes()
    plain = put(tmp_path / "b", with_keys(tmp_path)).read_bytes()
    for clear in (b"anna@example.com", b"email of", b"ARROW:schema"):
        assert clear in plain
        assert clear not in content
    assert A.encode() not in content


def test_two_files_of_equal_rows_are_not_equal(tmp_path: Path) -> None:
    settings = with_keys(tmp_path, A)
    assert put(tmp_path / "a", settings).read_bytes() != put(tmp_path / "b", settings).read_bytes()


def test_a_layer_may_hold_plain_files_and_files_of_several_keys(tmp_path: Path) -> None:
    made = [put(tmp_path / str(i), with_keys(tmp_path, key)) for i, key in enumerate((None, A, B))]
    assert [vault.key_id_of(path) for path in made] == ["", vault.key_id(A), vault.key_id(B)]
    both = with_keys(tmp_path, B, A)
    assert all(vault.reader(path, both).read().equals(ROWS) for path in made)
    assert vault.reader(made[0], with_keys(tmp_path)).read().equals(ROWS)


@pytest.mark.parametrize(
    ("settings", "said"), [(with_keys(Path("h"), B), vault.key_id(B)), (with_keys(Path("h")), "there is no raw key")]
)
def test_a_wrong_or_missing_key_is_told_by_ids_with_the_file_and_the_remedy(
    tmp_path: Path, settings: Settings, said: str
) -> None:
    path = put(tmp_path / "a file.parquet", with_keys(tmp_path, A))
    with pytest.raises(DataError, match=r"a file\.parquet is encrypted") as caught:
        vault.reader(path, settings)
    assert said in caught.value.problem
    assert "MOTHERLODE_RAW_KEY" in caught.value.remedy
    for secret in (A, B):
        assert secret not in str(caught.value)


def test_a_flipped_bit_anywhere_never_changes_a_value(tmp_path: Path) -> None:
    settings = with_keys(tmp_path, A)
    path = put(tmp_path / "a", settings)
    content = path.read_bytes()
    refused = 0
    for at in range(0, len(content), 17):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            with vault.reader(path, settings) as file:
                rows = pa.Table.from_batches(list(vault.batches(file, path, 500)))
            assert rows.equals(ROWS), at
        except DataError as error:
            assert str(path) in error.problem
            assert error.remedy
            refused += 1
    assert refused > len(content) / 17 * 0.9


@pytest.mark.parametrize("key", [None, A])
@pytest.mark.parametrize("kept", [0, 3, 4, 100, -1])
def test_a_file_cut_short_is_named(tmp_path: Path, key: str | None, kept: int) -> None:
    settings = with_keys(tmp_path, key)
    path = put(tmp_path / "cut", settings)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="cut cannot be read, it was cut short or changed"):
        vault.reader(path, settings)
    if key is not None and kept != 0 and kept != 3:
        with pytest.raises(DataError, match="cut cannot be read"):
            vault.key_id_of(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is missing"):
        vault.reader(tmp_path / "nowhere", with_keys(tmp_path, A))


def test_plain_raw_is_plain_parquet_that_any_tool_reads(tmp_path: Path) -> None:
    assert pq.read_table(put(tmp_path / "a", with_keys(tmp_path))).equals(ROWS)


@dataclass(frozen=True)
class Mapped:
    mapping: Mapping


def test_a_mapping_that_demands_encryption_gets_it_or_an_error(tmp_path: Path) -> None:
    demanding = Mapped(Mapping(company="c", sources={}, tables={}, privacy=Key(encrypt_raw=True)))
    vault.require(with_keys(tmp_path, A), demanding)
    vault.require(with_keys(tmp_path), Mapped(Mapping(company="c", sources={}, tables={})))
    with pytest.raises(DataError, match="encrypt_raw, and there is no raw key") as caught:
        vault.require(with_keys(tmp_path), demanding)
    assert "MOTHERLODE_RAW_KEY_FILE" in caught.value.remedy


def test_what_is_landed_never_lies_in_clear_beside_what_is_encrypted(tmp_path: Path) -> None:
    plain = Mapped(Mapping(company="c", sources={}, tables={}))
    demanding = Mapped(Mapping(company="c", sources={}, tables={}, privacy=Key(encrypt_raw=True)))
    secret, clear = tmp_path / "secret.parquet", tmp_path / "clear.parquet"
    for path, settings in ((secret, with_keys(tmp_path, A)), (clear, with_keys(tmp_path))):
        with vault.writer(path, pa.schema([("a", pa.string())]), settings):
            pass
    with pytest.raises(DataError, match=r"secret\.parquet.*no raw key"):
        vault.require(with_keys(tmp_path), plain, [secret])
    with pytest.raises(DataError, match=r"encrypt_raw.*clear\.parquet is plain"):
        vault.require(with_keys(tmp_path, A), demanding, [secret, clear])
    vault.require(with_keys(tmp_path, A), plain, [secret, clear])
