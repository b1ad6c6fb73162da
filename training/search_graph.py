"""The search as ONNX, for `motherlode.product`: every item's score, what is barred taken out, and the best."""

from typing import Final

from onnx import TensorProto, checker, helper

from motherlode.product import BARRED, BEST, COUNT, ITEMS, ROWS, USERS

_OPSET: Final = 17
_IR: Final = 8


def search_graph() -> bytes:
    """Serialise the graph.

    Inputs `users`, float32 (N, D), `items`, float32 (M, D), `barred`, float32 (M): 0 or minus infinity, and `count`,
    int64 (1); outputs `best`, float32 (N, count), descending, and `rows`, int64 (N, count).
    """
    nodes = [
        helper.make_node("Gemm", [USERS, ITEMS], ["scores"], transB=1),
        helper.make_node("Add", ["scores", BARRED], ["allowed"]),
        helper.make_node("TopK", ["allowed", COUNT], [BEST, ROWS], axis=1, largest=1, sorted=1),
    ]
    inputs = [
        helper.make_tensor_value_info(USERS, TensorProto.FLOAT, ["n", "d"]),
        helper.make_tensor_value_info(ITEMS, TensorProto.FLOAT, ["m", "d"]),
        helper.make_tensor_value_info(BARRED, TensorProto.FLOAT, ["m"]),
        helper.make_tensor_value_info(COUNT, TensorProto.INT64, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info(BEST, TensorProto.FLOAT, ["n", "k"]),
        helper.make_tensor_value_info(ROWS, TensorProto.INT64, ["n", "k"]),
    ]
    graph = helper.make_graph(nodes, "search", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
