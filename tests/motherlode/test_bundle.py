"""The bundle: written whole or not at all, verified, flipped in one step, refused when damaged."""

import io
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from motherlode import bundle
from motherlode.bundle import Bundle
from motherlode.errors import BundleError
from motherlode.identity import Identity
from motherlode.manifest import (
    ANSWERS,
    FORMAT,
    ITEM_TABLE,
    ITEM_VECTORS,
    MANIFEST,
    POPULAR,
    ItemTable,
    Manifest,
    Model,
    Popular,
    Tower,
)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def manifest(version: str) -> Manifest:
    return Manifest(
        format=FORMAT,
        version=version,
        created_at="2026-01-01T00:00:00+00:00",
        git_revision="",
        data_fingerprint="f",
        code_fingerprint="c",
        identity="",
        project="p",
        device="cpu",
        device_reason="asked for",
        services={},
        models={},
        segments=(),
        tower=Tower(Model("user_tower.onnx", (), "user"), 50, 0.5),
        quality=(),
        libraries={},
        files={},
    )


def files(vectors: Any = None) -> dict[str, bytes]:
    archive = io.BytesIO()
    arrays: dict[str, Any] = {"user_tower.answer": np.zeros(2, np.float32)}
    np.savez(archive, **arrays)
    return {
        ITEM_TABLE: msgspec.json.encode(ItemTable((1, "b"), ("1", "b"), ("One", "B"), ("x", "y"))),
        POPULAR: msgspec.json.encode(Popular(((1, 2.0),), {0: ((0, 1.0),)})),
        ITEM_VECTORS: npy(np.eye(2, dtype=np.float32) if vectors is None else vectors),
        ANSWERS: archive.getvalue(),
        "user_tower.onnx": b"onnx",
    }


def accept(_: Bundle) -> None:
    pass


def test_what_is_written_is_loaded(tmp_path: Path) -> None:
    folder = bundle.write(tmp_path, manifest("v1"), files(), accept)
    loaded = bundle.load(folder)
    assert loaded.manifest.version == folder.name == "v1"
    assert loaded.items.ids == (1, "b"), "ids come back as the company has them"
    assert loaded.popular.by_segment == {0: ((0, 1.0),)}
    assert set(loaded.manifest.files) == set(files())


def test_a_bundle_that_does_not_verify_leaves_nothing_behind(tmp_path: Path) -> None:
    def refuse(_: Bundle) -> None:
        raise BundleError("answers differ")

    with pytest.raises(BundleError, match="answers differ"):
        bundle.write(tmp_path, manifest("v1"), files(), refuse)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(files()))
def test_a_flipped_byte_and_a_missing_file_are_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = bundle.write(tmp_path, manifest("v1"), files(), accept)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(BundleError, match=name):
        bundle.load(folder)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        bundle.load(folder)


def test_a_file_that_is_changed_after_it_was_checked_changes_nothing_that_is_used(tmp_path: Path) -> None:
    """Whoever can write there has the time between a check and a use."""
    folder = bundle.write(tmp_path, manifest("v1"), files(), accept)
    loaded = bundle.load(folder)
    for name in files():
        path = folder / name
        whole = path.read_bytes()
        with path.open("r+b") as file:  # in place: a mapped file would change under its reader
            file.write(bytes(len(whole)))
        with pytest.raises(BundleError, match=f"{name} of bundle v1 is not the file that was published"):
            loaded.content(name)
        path.unlink()
        with pytest.raises(BundleError, match=f"lacks {name}"):
            loaded.content(name)
    assert loaded.vectors.tolist() == np.eye(2).tolist()
    assert loaded.items.ids == (1, "b")


def test_a_file_that_the_manifest_does_not_vouch_for_is_not_read(tmp_path: Path) -> None:
    folder = bundle.write(tmp_path, manifest("v1"), files(), accept)
    (folder / "more.onnx").write_bytes(b"onnx")
    loaded = bundle.load(folder)
    assert loaded.content("user_tower.onnx") == b"onnx"
    with pytest.raises(BundleError, match=r"vouches for no more\.onnx"):
        loaded.content("more.onnx")


def test_the_vectors_are_in_memory_once_and_cannot_be_written(tmp_path: Path) -> None:
    items, width = 20_000, 64
    vectors = np.random.default_rng(0).normal(size=(items, width)).astype(np.float32)
    ids = tuple(range(items))
    table = ItemTable(ids, tuple(map(str, ids)), ("",) * items, ("",) * items)
    content = files(vectors) | {ITEM_TABLE: msgspec.json.encode(table)}
    folder = bundle.write(tmp_path, manifest("v1"), content, accept)
    bundle.load(folder)
    tracemalloc.start()
    try:
        loaded = bundle.load(folder)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(loaded.vectors, vectors)
    assert not loaded.vectors.flags.writeable
    assert most < 1.9 * vectors.nbytes, "beside them is the table, and no second copy"


def test_a_manifest_that_was_changed_cut_short_or_moved_is_refused(tmp_path: Path) -> None:
    folder = bundle.write(tmp_path, manifest("v1"), files(), accept)
    path = folder / MANIFEST
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole.replace(b"0.5", b"0.0"), b""):
        assert damaged != whole
        path.write_bytes(damaged)
        with pytest.raises(BundleError, match="not the file that was published"):
            bundle.load(folder)
    path.write_bytes(whole)
    with pytest.raises(BundleError, match="holds the manifest of bundle v1"):
        bundle.load(folder.rename(tmp_path / "v2"))


def test_a_model_that_the_manifest_does_not_vouch_for_is_refused(tmp_path: Path) -> None:
    without = {name: content for name, content in files().items() if name != "user_tower.onnx"}
    with pytest.raises(BundleError, match=r"vouches for no user_tower\.onnx"):
        bundle.write(tmp_path, manifest("v1"), without, accept)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_bound_to_the_key_its_customers_are_known_by() -> None:
    bundle.require_identity(manifest("v1"), Identity())
    with pytest.raises(BundleError, match="no pseudonym key, here is the pseudonym key") as caught:
        bundle.require_identity(manifest("v1"), Identity("k" * 16))
    assert "MOTHERLODE_PSEUDONYM_KEY" in caught.value.remedy
    assert "k" * 16 not in str(caught.value)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.full((2, 2), np.nan, np.float32), "NaN or infinity"),
        (np.zeros((3, 2), np.float32), "the item table has 2 rows"),
        (np.zeros((2, 2), np.float64), "float64"),
    ],
)
def test_item_vectors_that_cannot_serve_are_refused(tmp_path: Path, vectors: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        bundle.write(tmp_path, manifest("v1"), files(vectors), accept)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.write(tmp_path, manifest("v1"), files(np.array([{"a": 1}, None], dtype=object)), accept)


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    bundle.write(tmp_path, manifest("v1"), files(), accept)
    with pytest.raises(BundleError, match="v1 exists"):
        bundle.write(tmp_path, manifest("v1"), files(), accept)
