"""ONNX graphs made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

FLOAT, INT64, STRING, DOUBLE = (
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.STRING,
    TensorProto.DOUBLE,
)


def write(
    path: Path,
    nodes: list[Any],
    inputs: list[tuple[str, int, list[Any] | None]],
    outputs: list[Any],
    *,
    metadata: dict[str, str] | None = None,
    **constants: np.ndarray,
) -> Path:
    """Write a graph of nodes, ``(operator, inputs, outputs, attributes)`` each."""
    graph = helper.make_graph(
        [
            helper.make_node(
                kind, takes, gives, domain="ai.onnx.ml" if kind == "ZipMap" else "", **options
            )
            for kind, takes, gives, options in nodes
        ],
        "by_hand",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [
            helper.make_tensor_value_info(*each) if isinstance(each, tuple) else each
            for each in outputs
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    sets = [helper.make_opsetid("", 19), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=9)
    helper.set_model_props(model, metadata or {})
    save(model, str(path))
    return path


def linear(path: Path, W: np.ndarray, *, rows: Any = "n", after: str | None = None, **more) -> Path:
    """Write X W, through one more operator where it is named."""
    nodes = [("MatMul", ["X", "W"], ["Z"], {})]
    if after is not None:
        nodes.append((after, ["Z"], ["S"], {"axis": 1} if after == "Softmax" else {}))
    return write(
        path,
        nodes,
        [("X", FLOAT, [rows, W.shape[0]])],
        [("Z" if after is None else "S", FLOAT, [rows, W.shape[1]])],
        W=W.astype(np.float32),
        **more,
    )


def with_labels(path: Path, W: np.ndarray, labels: list[Any], *, as_dicts: bool) -> Path:
    """Write what skl2onnx does: labels first, then probabilities, as a tensor or as dicts."""
    is_text = isinstance(labels[0], str)
    nodes = [
        ("MatMul", ["X", "W"], ["Z"], {}),
        ("Softmax", ["Z"], ["P"], {"axis": 1}),
        ("ArgMax", ["Z"], ["label"], {"axis": 1, "keepdims": 0}),
    ]
    table: Any = ("P", FLOAT, ["n", len(labels)])
    if as_dicts:
        name = "classlabels_strings" if is_text else "classlabels_int64s"
        nodes.append(("ZipMap", ["P"], ["output_probability"], {name: labels}))
        value = helper.make_tensor_type_proto(FLOAT, None)
        pairs = helper.make_map_type_proto(STRING if is_text else INT64, value)
        table = helper.make_value_info("output_probability", helper.make_sequence_type_proto(pairs))
    outputs = [("label", INT64, ["n"]), table]
    return write(path, nodes, [("X", FLOAT, ["n", W.shape[0]])], outputs, W=W.astype(np.float32))
