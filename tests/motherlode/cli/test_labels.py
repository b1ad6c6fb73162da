"""Segments are given as labels where the snapshots are those that the bundle reads."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from feature_repo.mart import manifest
from motherlode import names
from motherlode.cli.labels import give_segments, require_features
from motherlode.errors import DataError
from motherlode.manifest import FORMAT, Input, Manifest, Model, Tower
from motherlode.settings import Settings

AT = datetime(2025, 3, 1, tzinfo=UTC)


def reads(*features: Input) -> Manifest:
    """A bundle whose one scorer reads these."""
    return Manifest(
        format=FORMAT,
        version="v1",
        created_at="",
        git_revision="",
        data_fingerprint="",
        code_fingerprint="",
        identity="",
        project="p",
        device="cpu",
        device_reason="",
        services={},
        models={names.SEGMENTS: Model("segments.onnx", features, "label")},
        segments=(),
        tower=Tower(Model("user_tower.onnx", (), "user"), 5, 0.0),
        quality=(),
        libraries={},
        files={},
    )


def test_a_bundle_of_other_features_than_those_here_is_refused_by_name(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.mart.mkdir()
    pl.DataFrame({"customer_id": ["c"], "share_floral": [0.5]}).write_parquet(settings.mart / "a.parquet")
    piece = manifest.Piece(path="a.parquet", partition=0, era="", rows=1, sha256="")
    built = manifest.Built(view="affinity", code="", pieces=(piece,), rows=1, created_at=AT, seconds=0)
    manifest.write(settings, manifest.Manifest(snapshots=(AT,), views={"affinity": built}))
    require_features(settings, reads(Input("affinity", "share_floral", 0.0), Input("campaign", "Type A", 0.0)))
    for missing in (Input("affinity", "share_toys", 0.0), Input("rfm", "share_floral", 0.0)):
        with pytest.raises(DataError, match=f"bundle v1 reads {missing.view}__{missing.name},"):
            require_features(settings, reads(missing))


def test_where_no_snapshot_was_built_nobody_is_labelled(tmp_path: Path) -> None:
    assert give_segments(Settings(home=tmp_path)) == 0
