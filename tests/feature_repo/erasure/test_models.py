"""Bundles that are younger than the first landing of somebody's rows were trained on them."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from feature_repo.erasure import models
from feature_repo.warehouse import state
from feature_repo.warehouse.places import Place
from feature_repo.warehouse.state import Landed, State
from motherlode import bundles
from motherlode.manifest import FORMAT, MANIFEST, MANIFEST_DIGEST, Manifest, Model, Tower
from motherlode.settings import Settings

AT = datetime(2026, 3, 1, tzinfo=UTC)


def landed(path: str, at: datetime) -> Landed:
    return Landed(source="s", name=path, file_id="0", path=path, sha256="0", size=1, landed_at=at, order=1)


def write(settings: Settings, version: str, at: datetime) -> None:
    """A bundle, as far as it is looked at."""
    model = Model("x.onnx", (), "y")
    told = Manifest(
        format=FORMAT, version=version, created_at=at.isoformat(), git_revision="", data_fingerprint="",
        code_fingerprint="", identity="", project="p", device="cpu", device_reason="", services={}, models={},
        segments=(), tower=Tower(model, 1, 0.0), quality=(), libraries={}, files={},
    )  # fmt: skip
    folder = settings.models / version
    folder.mkdir(parents=True)
    content = msgspec.json.encode(told)
    (folder / MANIFEST).write_bytes(content)
    (folder / MANIFEST_DIGEST).write_text(hashlib.sha256(content).hexdigest())


def test_bundles_since_the_first_landing_count_and_the_current_one_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    state.write(settings, State(raw=(landed("raw/a", AT), landed("raw/b", AT + timedelta(days=10)))))
    for version, days in (("20260201", -28), ("20260302", 1), ("20260315", 14)):
        write(settings, version, AT + timedelta(days=days))
    bundles.flip(settings.models, "20260302")
    places = [Place("raw", "raw/a", 1), Place("mart", "mart/rfm/x", 2)]
    found = models.trained(settings, places)
    assert [(each.version, each.current) for each in found] == [("20260302", True), ("20260315", False)]
    late = models.trained(settings, [Place("raw", "raw/b", 1)])
    assert [each.version for each in late] == ["20260315"]
    everywhere = models.trained(settings, [Place("given", "given/x", 1)])
    assert len(everywhere) == 3, "where raw does not tell since when, every bundle counts"
    assert models.trained(settings, []) == ()
    (settings.models / "20260201" / MANIFEST).write_bytes(b"{}")
    assert [each.version for each in models.trained(settings, places)] == ["20260201", "20260302", "20260315"]
