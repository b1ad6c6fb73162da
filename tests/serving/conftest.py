"""A small company whose right answers are known: a bundle of tiny ONNX graphs, and a real Valkey with packed rows."""

import io
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import psutil
import pytest
import redis
from onnx import TensorProto, helper, numpy_helper

from motherlode import bundle, bundles, names, packed
from motherlode.manifest import (
    ANSWERS,
    FORMAT,
    ITEM_TABLE,
    ITEM_VECTORS,
    POPULAR,
    REPORT,
    Input,
    ItemTable,
    Manifest,
    Model,
    Popular,
    Segment,
    Service,
    Tower,
)
from motherlode.online.keys import row_key
from motherlode.online.reader import ViewRequest, now_us
from motherlode.online.tombstones import Tombstones
from motherlode.online.writer import OnlineWriter, Target
from motherlode.packed import Column, Schema, Values
from motherlode.redis_server import connect, running
from motherlode.settings import Settings

DAY_S = 86_400
TTL_S = 35 * DAY_S
ITEMS = 30
DIM = 4
HISTORY = 5

SCHEMAS = {
    "rfm": Schema("rfm", (Column("recency_days", "float32"), Column("recency_score", "int32"))),
    "spending": Schema("spending", (Column("basket_value_mean", "float32"), Column("trend_4w_12w", "float32"))),
    names.HISTORY: Schema(
        names.HISTORY,
        (
            Column("latest_items", "list<string>"),
            Column("top_items", "list<string>"),
            Column("top_weights", "list<float32>"),
        ),
    ),
    names.PURCHASES: Schema(names.PURCHASES, (Column("purchased_items", "list<string>"),)),
}

RFM = (Input("rfm", "recency_days", 7.0), Input("rfm", "recency_score", 3.0))
SPENDING = (Input("spending", "basket_value_mean", 20.0), Input("spending", "trend_4w_12w", 1.0))
CAMPAIGNS = (Input("campaign", "Type A", 0.0), Input("campaign", "Type B", 0.0))

SEGMENT_WEIGHTS = np.array([[0.0, 0.1], [1.0, 0.0]], dtype=np.float32)
RESPONSE_WEIGHTS = np.array([-0.1, 0.2, 0.01, 0.3, 0.5, -0.5], dtype=np.float32)
INACTIVE_WEIGHTS = np.array([0.05, -0.3], dtype=np.float32)


def sigmoid(x: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)


def _model(nodes: list[Any], inputs: list[Any], output: Any, weights: Mapping[str, Any]) -> bytes:
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, [output], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _features(width: int) -> Any:
    return helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])


def segments_onnx() -> bytes:
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["s"]),
        helper.make_node("ArgMax", ["s"], ["label"], axis=1, keepdims=0),
    ]
    output = helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])
    return _model(nodes, [_features(2)], output, {"w": SEGMENT_WEIGHTS})


def probability_onnx(weights: npt.NDArray[np.float32]) -> bytes:
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["s"]),
        helper.make_node("Sigmoid", ["s"], ["probability"]),
    ]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n"])
    return _model(nodes, [_features(len(weights))], output, {"w": weights})


def tower_onnx(embedding: npt.NDArray[np.float32]) -> bytes:
    nodes = [
        helper.make_node("Gather", ["embedding", "history"], ["items"]),
        helper.make_node("ReduceSum", ["items", "axis"], ["known"], keepdims=0),
        helper.make_node("MatMul", ["features", "w"], ["shift"]),
        helper.make_node("Add", ["known", "shift"], ["user"]),
    ]
    history = helper.make_tensor_value_info("history", TensorProto.INT64, ["n", HISTORY])
    output = helper.make_tensor_value_info("user", TensorProto.FLOAT, ["n", DIM])
    weights = {
        "embedding": embedding,
        "axis": np.array([1], dtype=np.int64),
        "w": np.full((2, DIM), 0.001, dtype=np.float32),
    }
    return _model(nodes, [history, _features(2)], output, weights)


def item_vectors() -> npt.NDArray[np.float32]:
    return np.random.default_rng(7).normal(size=(ITEMS, DIM)).astype(np.float32)


def tower_answer(history: npt.NDArray[np.int64], features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    embedding = np.vstack([np.zeros((1, DIM), np.float32), item_vectors()])
    return np.asarray(embedding[history].sum(axis=1) + features.sum(axis=1, keepdims=True) * np.float32(0.001))


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def bundle_files(shift: float = 0.0, **changes: Any) -> dict[str, bytes]:
    """A bundle's files.

    Args:
        shift: added to the weights of `inactive_28d`, to tell two bundles apart by their answers.
        changes: sample answers by name, in place of the right ones; two underscores stand for a dot.
    """
    inactive = INACTIVE_WEIGHTS + np.float32(shift)
    draw = np.random.default_rng(3)
    two = draw.uniform(0, 20, (16, 2)).astype(np.float32)
    six = np.hstack([draw.uniform(0, 20, (16, 4)), np.tile(np.eye(2), (8, 1))]).astype(np.float32)
    history = draw.integers(0, ITEMS + 1, (16, HISTORY))
    answers: dict[str, Any] = {
        "segments.features": two,
        "segments.answer": (two @ SEGMENT_WEIGHTS).argmax(axis=1),
        "response.features": six,
        "response.answer": sigmoid(six @ RESPONSE_WEIGHTS),
        "inactive_28d.features": two,
        "inactive_28d.answer": sigmoid(two @ inactive),
        "user_tower.history": history,
        "user_tower.features": two,
        "user_tower.answer": tower_answer(history, two),
    } | {name.replace("__", "."): value for name, value in changes.items()}
    archive = io.BytesIO()
    np.savez(archive, **answers)
    keys = [str(1000 + row) for row in range(ITEMS)]
    table = ItemTable(
        tuple(map(int, keys)), tuple(keys), tuple(f"Item {key}" for key in keys), tuple("c" for _ in keys)
    )
    popular = Popular(
        tuple((row, 100.0 - row) for row in range(20)), {0: tuple((row, 50.0 - row) for row in range(5, 15)), 1: ()}
    )
    return {
        "segments.onnx": segments_onnx(),
        "response.onnx": probability_onnx(RESPONSE_WEIGHTS),
        "inactive_28d.onnx": probability_onnx(inactive),
        "user_tower.onnx": tower_onnx(np.vstack([np.zeros((1, DIM), np.float32), item_vectors()])),
        ITEM_VECTORS: _npy(item_vectors()),
        ITEM_TABLE: msgspec.json.encode(table),
        POPULAR: msgspec.json.encode(popular),
        ANSWERS: archive.getvalue(),
        REPORT: b"<html></html>",
    }


def make_manifest(version: str, project: str) -> Manifest:
    views = {view: ViewRequest(view, schema.columns, TTL_S) for view, schema in SCHEMAS.items()}
    return Manifest(
        format=FORMAT,
        version=version,
        created_at="2026-01-01T00:00:00+00:00",
        git_revision="",
        data_fingerprint="f",
        code_fingerprint="c",
        identity="",
        project=project,
        device="cpu",
        device_reason="asked for",
        services={
            names.SCORING: Service(names.SCORING, (views["rfm"], views["spending"])),
            names.RECOMMENDATION: Service(
                names.RECOMMENDATION, (views[names.HISTORY], views[names.PURCHASES], views["rfm"])
            ),
        },
        models={
            names.SEGMENTS: Model("segments.onnx", RFM, "label"),
            names.RESPONSE: Model("response.onnx", RFM + SPENDING + CAMPAIGNS, "probability"),
            names.INACTIVE_28D: Model("inactive_28d.onnx", RFM, "probability"),
        },
        segments=(Segment(0, "Loyal", 0.6, "often", 6), Segment(1, "Lapsed", 0.4, "rarely", 4)),
        tower=Tower(Model("user_tower.onnx", RFM, "user"), HISTORY, 0.5),
        quality=(),
        libraries={},
        files={},
    )


@dataclass
class Company:
    """A folder of bundles and a Redis of packed rows.

    Attributes:
        settings: bound to a running Valkey of its own.
        client: a connection to it.
    """

    settings: Settings
    client: redis.Redis

    def publish(self, version: str, shift: float = 0.0, **changes: Any) -> Path:
        """Write a bundle (see `bundle_files`) without looking whether it verifies, and make it current."""
        manifest = make_manifest(version, self.settings.project)
        folder = bundle.write(self.settings.models, manifest, bundle_files(shift, **changes), lambda _: None)
        bundles.flip(self.settings.models, version)
        return folder

    @cached_property
    def writer(self) -> OnlineWriter:
        return OnlineWriter(self.client, self.settings.project, Tombstones(self.settings).of_entity)

    def put(self, view: str, customer: str, age_s: float = 60.0, **values: Any) -> None:
        """Write one row as materialising does; a value that is left out is null."""
        schema = SCHEMAS[view]
        columns = {}
        for column in schema.columns:
            value = values.get(column.name)
            data = np.empty(1, dtype=object if not column.fixed else packed.FIXED[column.dtype])
            data[0] = value if value is not None else (0 if column.fixed else None)
            columns[column.name] = Values(data, np.array([value is not None]))
        at = np.array([now_us() - int(age_s * 1e6)])
        target = Target(view, owned=True)
        self.writer.declare(schema, target)
        self.writer.write(target, [customer], packed.encode(schema, columns, at, at))

    def put_customer(self, customer: str, age_s: float = 60.0) -> None:
        """A customer of whom everything is known."""
        self.put("rfm", customer, age_s, recency_days=4.0, recency_score=5)
        self.put("spending", customer, age_s, basket_value_mean=12.5, trend_4w_12w=0.5)
        latest = ["1003", "1004", "nowhere"]
        weights = np.array([4.0, 9.0], np.float32)
        self.put(names.HISTORY, customer, age_s, latest_items=latest, top_items=["1004", "1003"], top_weights=weights)
        self.put(names.PURCHASES, customer, age_s, purchased_items=["1003", "1004", "1000"])

    def damage(self, view: str, customer: str) -> None:
        """Flip one bit of a row's last byte."""
        key = row_key(self.settings.project, view, customer)
        row: Any = self.client.get(key)
        self.client.set(key, row[:-1] + bytes([row[-1] ^ 1]))

    def pid(self) -> int:
        """Of the Valkey."""
        info: Any = self.client.info("server")
        return int(info["process_id"])

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """The Valkey takes connections and answers nothing."""
        server = psutil.Process(self.pid())
        server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("a company") / ".motherlode"
    with running(Settings(home=home)) as bound:
        yield bound


@pytest.fixture
def company(_valkey: Settings, tmp_path: Path) -> Iterator[Company]:
    """A company with the bundle `v1`, known customers 1, 2 and "abc", and nobody else."""
    home = tmp_path / "the home"
    settings = Settings(home=home, redis_url=_valkey.redis_url, redis_budget_s=0.25)
    with connect(settings) as client:
        client.flushall()
        made = Company(settings, client)
        made.publish("v1")
        for customer in ("1", "2", "abc"):
            made.put_customer(customer)
        yield made


@pytest.fixture(scope="session")
def expected() -> Mapping[str, float]:
    """What the models say of a known customer, computed without ONNX."""
    rfm = np.array([4.0, 5.0], np.float32)
    full = np.concatenate([rfm, np.array([12.5, 0.5, 1.0, 0.0], np.float32)])
    return {
        "response": float(sigmoid(full @ RESPONSE_WEIGHTS)),
        "inactive_28d": float(sigmoid(rfm @ INACTIVE_WEIGHTS)),
        "segment": int((rfm @ SEGMENT_WEIGHTS).argmax()),
    }
