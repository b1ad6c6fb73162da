"""The fitted models as ONNX, node by node.

One input, `features`: float32, shape (N, F). Scorers answer `probability`, float32 (N,), segments `label`, int64 (N,).
What is linear is computed in float64, so that a borderline customer falls on the same side here and in
serving; the trees compare float32 with float32, as XGBoost does. See docs/decisions/0008.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import xgboost
from onnx import TensorProto, helper, numpy_helper

from motherlode.errors import BundleError
from motherlode.manifest import CAMPAIGN, Input
from training.scorer import Linear, Scorer
from training.segmenter import DEVIATIONS, Segmenter

FEATURES: Final = "features"
PROBABILITY: Final = "probability"
LABEL: Final = "label"

OPSET: Final = 17
ML_OPSET: Final = 3
IR_VERSION: Final = 8
"""What ONNX Runtime reads since 1.12."""

_SAMPLES: Final = 256
_FAR: Final = 1e6
_NONE: Final = -1
"""The child of a leaf, as XGBoost writes it."""

Matrix = npt.NDArray[np.float32]


def scorer(fitted: Scorer, inputs: Sequence[Input]) -> bytes:
    """A binary scorer, serialised.

    Raises:
        BundleError: the trees hold what the exporter does not know.
    """
    graph = _Graph(len(inputs))
    types = sum(each.view == CAMPAIGN for each in inputs)
    parts = [] if fitted.linear is None else [_linear(graph, fitted.linear, types)]
    if fitted.trees is not None:
        parts.append(_trees(graph, fitted.trees))
    total = parts[0] if len(parts) == 1 else graph.node("Add", parts[0], parts[1])
    scaled = graph.node("Mul", total, graph.constant(fitted.slope / len(parts)))
    chance = graph.node("Sigmoid", graph.node("Add", scaled, graph.constant(fitted.intercept)))
    graph.node("Cast", chance, to=TensorProto.FLOAT, output=PROBABILITY)
    return graph.serialise(PROBABILITY, TensorProto.FLOAT)


def segmenter(fitted: Segmenter) -> bytes:
    """The segments' model, serialised: the centre that lies nearest."""
    graph = _Graph(len(fitted.scaling.mean))
    values = graph.node("Max", graph.wide(FEATURES), graph.constant(0.0))
    logarithms = graph.node("Log", graph.node("Add", values, graph.constant(1.0)))
    centred = graph.node("Sub", logarithms, graph.constant(fitted.scaling.mean))
    standard = graph.node("Div", centred, graph.constant(fitted.scaling.scale))
    floor = graph.node("Max", standard, graph.constant(-DEVIATIONS))
    clipped = graph.node("Min", floor, graph.constant(DEVIATIONS))
    offsets, weights = fitted.distances()
    distances = graph.node("Add", graph.node("MatMul", clipped, graph.constant(weights)), graph.constant(offsets))
    graph.node("ArgMin", distances, axis=1, keepdims=0, output=LABEL)
    return graph.serialise(LABEL, TensorProto.INT64)


def samples(x: Matrix) -> Matrix:
    """Rows to hold a model to: some that it was trained on, evenly chosen, and some far beyond all of them."""
    rows = np.unique(np.linspace(0, len(x) - 1, _SAMPLES).round().astype(np.int64))
    low, high = x.min(axis=0), x.max(axis=0)
    far = np.stack([low, high, np.zeros_like(low), high * np.float32(_FAR), -high * np.float32(_FAR)])
    return np.ascontiguousarray(np.vstack([x[rows], far]), dtype=np.float32)


class _Graph:
    """An ONNX graph in the making: nodes by name, constants in float64."""

    def __init__(self, features: int) -> None:
        self._features = features
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node; returns its output's name."""
        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float64) -> str:
        """Add a constant; returns its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=dtype), name))
        return name

    def wide(self, name: str) -> str:
        """A tensor as float64."""
        return self.node("Cast", name, to=TensorProto.DOUBLE)

    def columns(self, name: str, first: int, last: int) -> str:
        """The columns [first, last) of a matrix."""
        return self._slice(name, first, last, axis=1)

    def rows(self, name: str, first: int, last: int) -> str:
        """The rows [first, last) of a matrix."""
        return self._slice(name, first, last, axis=0)

    def sum(self, name: str, axis: int) -> str:
        """The sum over an axis, which goes."""
        return self.node("ReduceSum", name, self.constant([axis], np.int64), keepdims=0)

    def _slice(self, name: str, first: int, last: int, axis: int) -> str:
        return self.node("Slice", name, *(self.constant([each], np.int64) for each in (first, last, axis)))

    def serialise(self, output: str, dtype: int) -> bytes:
        """The checked model with one output of shape (N,)."""
        graph = helper.make_graph(
            self._nodes,
            "motherlode",
            [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", self._features])],
            [helper.make_tensor_value_info(output, dtype, ["N"])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="motherlode")
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def _linear(graph: _Graph, linear: Linear, types: int) -> str:
    """The weighted sums of the ranks' ramps, and the campaign type's share of them."""
    features, ramps = len(linear.weights), linear.ranks.ramps()
    weights = ramps.slopes[:, None] * linear.weights[ramps.columns]
    bias = linear.bias + ramps.base @ linear.weights - ramps.low @ weights
    # A column a row: whole rows are gathered at once, single values one by one.
    columns = graph.node("Transpose", graph.wide(graph.columns(FEATURES, 0, features)), perm=[1, 0])
    values = graph.node("Gather", columns, graph.constant(ramps.columns, np.int64), axis=0)
    high, low = (graph.constant(each[:, None]) for each in (ramps.high, ramps.low))
    clipped = graph.node("Max", graph.node("Min", values, high), low)
    terms = graph.node("Add", graph.node("MatMul", graph.constant(weights.T), clipped), graph.constant(bias[:, None]))
    if types:
        kinds = graph.node("Transpose", graph.wide(graph.columns(FEATURES, features, features + types)), perm=[1, 0])
        corrections = graph.node("Mul", graph.rows(terms, 1, 1 + types), kinds)
        terms = graph.node("Concat", graph.rows(terms, 0, 1), corrections, axis=0)
    return graph.sum(terms, 0)


def _trees(graph: _Graph, trees: xgboost.Booster) -> str:
    """Boosted trees, as log-odds."""
    learner = json.loads(bytes(trees.save_raw("json")))["learner"]
    gradient = learner["gradient_booster"]
    if gradient["name"] != "gbtree" or learner["objective"]["name"] != "binary:logistic":
        raise BundleError(
            f"The trees are {gradient['name']} for {learner['objective']['name']}.",
            "Only gbtree for binary:logistic is exported.",
        )
    members = [_tree(number, tree) for number, tree in enumerate(gradient["model"]["trees"])]
    attributes: dict[str, Any] = {name: [value for tree in members for value in tree[name]] for name in members[0]}
    answer = graph.node(
        "TreeEnsembleRegressor",
        FEATURES,
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[_base(learner)],
        **attributes,
    )
    return graph.wide(graph.sum(answer, 1))


def _tree(number: int, tree: dict[str, Any]) -> dict[str, list[Any]]:
    """A tree's nodes and leaves, as the ONNX operator names them. XGBoost goes left where value < condition."""
    if any(tree["split_type"]):
        raise BundleError("The trees split by categories.", "Give the model one-hot columns.")
    left, right, conditions = tree["left_children"], tree["right_children"], tree["split_conditions"]
    leaves = [node for node, child in enumerate(left) if child == _NONE]
    return {
        "nodes_treeids": [number] * len(left),
        "nodes_nodeids": list(range(len(left))),
        "nodes_featureids": tree["split_indices"],
        "nodes_modes": ["LEAF" if child == _NONE else "BRANCH_LT" for child in left],
        "nodes_values": conditions,
        "nodes_truenodeids": [max(child, 0) for child in left],
        "nodes_falsenodeids": [max(child, 0) for child in right],
        "nodes_missing_value_tracks_true": [int(each) for each in tree["default_left"]],
        "target_treeids": [number] * len(leaves),
        "target_nodeids": leaves,
        "target_ids": [0] * len(leaves),
        "target_weights": [conditions[node] for node in leaves],
    }


def _base(learner: dict[str, Any]) -> float:
    """The log-odds that the trees start from. XGBoost 3.1 and later write the share as a list of one, "[5E-1]"."""
    written = json.loads(learner["learner_model_param"]["base_score"])
    share = float(written[0] if isinstance(written, list) else written)
    return float(np.log(share / (1.0 - share)))
