"""Batch scores of a frame; that they are those of serving is held in `tests/serving/test_parity.py`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper

from motherlode import names
from motherlode.bundle import Bundle, sha256
from motherlode.manifest import FORMAT, Input, ItemTable, Manifest, Model, Popular, Segment, Service, Tower
from motherlode.online.reader import ViewRequest
from training.batch import score

NOW = datetime(2026, 5, 4, tzinfo=UTC)
TTL = timedelta(days=35)
A, B = Input("a", "x", 1.0), Input("b", "y", 2.0)
TYPES = (Input("campaign", "T", 0.0), Input("campaign", "U", 0.0))


def graph(output: str, inputs: Sequence[Input]) -> bytes:
    """Answers the sum of its inputs."""
    kind = TensorProto.INT64 if output == "label" else TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceSum", ["features", "axis"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], [output], to=kind),
    ]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(inputs)])
    axis = onnx.numpy_helper.from_array(np.array([1]), "axis")
    made = helper.make_graph(nodes, "g", [features], [helper.make_tensor_value_info(output, kind, ["n"])], [axis])
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(made, opset_imports=opset, ir_version=8).SerializeToString())


@pytest.fixture
def scorers(tmp_path: Path) -> Bundle:
    """Segments by a.x, the response by a.x, b.y and the campaign; b never goes stale."""
    models = {
        names.SEGMENTS: Model("segments.onnx", (A,), "label"),
        names.RESPONSE: Model("response.onnx", (A, B, *TYPES), "probability"),
    }
    tower = Model("user_tower.onnx", (A,), "user")
    for model in (*models.values(), tower):
        (tmp_path / model.file).write_bytes(graph(model.output, model.inputs))
    views = (ViewRequest("a", (), int(TTL.total_seconds())), ViewRequest("b", (), None))
    manifest = Manifest(
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
        services={names.SCORING: Service(names.SCORING, views)},
        models=models,
        segments=(Segment(1, "One", 1.0, "", 1), Segment(5, "Five", 1.0, "", 1)),
        tower=Tower(tower, 5, 0.0),
        quality=(),
        libraries={},
        files={each.file: sha256(tmp_path / each.file) for each in (*models.values(), tower)},
    )
    none = ItemTable((), (), (), ())
    return Bundle(tmp_path, manifest, none, np.empty((0, 1), np.float32), Popular((), {}), {})


def frame(*rows: tuple[timedelta | None, float | None, timedelta | None, float | None]) -> pl.DataFrame:
    """Customers by the age and value of a, and of b."""
    time = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {
            names.OUTSIDE_ID: list(range(len(rows))),
            "a__event_timestamp": pl.Series([None if row[0] is None else NOW - row[0] for row in rows], dtype=time),
            "a__x": pl.Series([row[1] for row in rows], dtype=pl.Float32),
            "b__event_timestamp": pl.Series([None if row[2] is None else NOW - row[2] for row in rows], dtype=time),
            "b__y": pl.Series([row[3] for row in rows], dtype=pl.Float32),
        }
    )


DAY = timedelta(days=1)


def test_a_row_is_stale_after_its_time_to_live_and_not_at_it(scorers: Bundle) -> None:
    tick = timedelta(microseconds=1)
    rows = frame((TTL, 5.0, 400 * DAY, 1.0), (TTL + tick, None, DAY, 1.0), (None, None, DAY, 1.0), (None,) * 4)
    scored = score(rows, scorers, "T", NOW)
    assert scored["status"].to_list() == ["ok", "stale", "degraded", "cold"]
    assert scored[names.EVENT_TIMESTAMP].to_list() == [NOW - 400 * DAY, NOW - TTL - tick, NOW - DAY, None]


def test_what_is_partly_fresh_is_imputed_and_counted_what_is_not_is_null(scorers: Bundle) -> None:
    rows = frame((DAY, 5.0, DAY, 7.0), (40 * DAY, None, DAY, 7.0), (DAY, float("inf"), DAY, None), (None,) * 4)
    scored = score(rows, scorers, "T", NOW)
    assert scored["segment_id"].to_list() == [5, None, None, None]
    assert scored["segment"].to_list() == ["Five", None, None, None]
    assert scored["response"].to_list() == [13.0, 9.0, None, None], "the campaign's 1 is in each"
    assert scored["imputed"].to_list() == [0, 1, 2, 2]
    note = "null, as no feature that they read is fresh: segments"
    assert scored["note"].to_list() == [None, note, f"{note}, response", None]


def test_without_a_campaign_the_response_is_null_for_that_reason_alone(scorers: Bundle) -> None:
    scored = score(frame((DAY, 1.0, DAY, 7.0)), scorers, None, NOW)
    assert scored.select("segment", "response", "note").row(0) == ("One", None, None)
    assert scored.schema["response"] == pl.Float32


def test_an_unknown_campaign_type_is_refused_naming_the_known(scorers: Bundle) -> None:
    with pytest.raises(ValueError, match=r"'Z' is unknown\. Known: T, U"):
        score(frame((DAY, 1.0, DAY, 7.0)), scorers, "Z", NOW)


def test_nobody_is_scored_as_nobody(scorers: Bundle) -> None:
    some = score(frame((DAY, 1.0, DAY, 7.0)), scorers, "T", NOW)
    none = score(frame(), scorers, "T", NOW)
    assert (none.height, none.drop(names.OUTSIDE_ID).schema) == (0, some.drop(names.OUTSIDE_ID).schema)
