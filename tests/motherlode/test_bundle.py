"""The bundle: written whole or not at all, verified, flipped in one step, refused when damaged."""

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from motherlode import bundle
from motherlode.bundle import Bundle, ItemTable, Manifest, Model, Popular, Tower
from motherlode.errors import BundleError
from motherlode.identity import Identity


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def manifest(version: str) -> Manifest:
    return Manifest(
        format=bundle.FORMAT,
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
        bundle.ITEM_TABLE: msgspec.json.encode(ItemTable((1, "b"), ("1", "b"), ("One", "B"), ("x", "y"))),
        bundle.POPULAR: msgspec.json.encode(Popular(((1, 2.0),), {0: ((0, 1.0),)})),
        bundle.ITEM_VECTORS: npy(np.eye(2, dtype=np.float32) if vectors is None else vectors),
        bundle.ANSWERS: archive.getvalue(),
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


def test_a_manifest_that_was_changed_cut_short_or_moved_is_refused(tmp_path: Path) -> None:
    folder = bundle.write(tmp_path, manifest("v1"), files(), accept)
    path = folder / bundle.MANIFEST
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


def test_flip_rolls_forward_and_back_and_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No bundle is published"):
        bundle.current(tmp_path)
    for version in ("v1", "v2"):
        bundle.write(tmp_path, manifest(version), files(), accept)
        bundle.flip(tmp_path, version)
    assert bundle.current(tmp_path).name == "v2"
    bundle.flip(tmp_path, "v1")
    assert bundle.current(tmp_path).name == "v1"
    with pytest.raises(BundleError, match="'v9'") as caught:
        bundle.flip(tmp_path, "v9")
    assert "v1, v2" in caught.value.remedy


def test_a_rollback_goes_back_along_what_was_published(tmp_path: Path) -> None:
    """Not to a bundle that was written and never published; twice goes back twice."""
    for version in ("v1", "v2", "v3", "v4"):
        bundle.write(tmp_path, manifest(version), files(), accept)
    for version in ("v1", "v3", "v4"):
        bundle.flip(tmp_path, version)
    assert bundle.flip_back(tmp_path) == "v3"
    assert bundle.flip_back(tmp_path) == "v1", "v2 was never published"
    assert bundle.current(tmp_path).name == "v1"
    with pytest.raises(BundleError, match="No bundle was published before v1"):
        bundle.flip_back(tmp_path)
    bundle.flip(tmp_path, "v2")
    assert bundle.previous(tmp_path) == "v1"


def test_old_bundles_are_collected_but_never_the_current_one(tmp_path: Path) -> None:
    for i in range(6):
        bundle.write(tmp_path, manifest(f"v{i}"), files(), accept)
    assert bundle.collect(tmp_path, 2) == [], "nothing is collected before anything is published"
    bundle.flip(tmp_path, "v0")
    assert bundle.collect(tmp_path, 2) == ["v1", "v2", "v3"]
    assert bundle.versions(tmp_path) == ["v0", "v4", "v5"]
