"""What models take on a disk."""

from __future__ import annotations

import numpy as np
import pytest

from sk_prunefair.compare.sizes import stored_sizes


@pytest.mark.parametrize("location", ["weights.bin", "net.onnx.data"])
def test_stored_sizes_of_onnx_counts_the_file_that_holds_its_weights(tmp_path, location):
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(np.zeros((100, 100), np.float32), "W")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["X", "W"], ["Z"])],
        "net",
        [value("X", onnx.TensorProto.FLOAT, [None, 100])],
        [value("Z", onnx.TensorProto.FLOAT, [None, 100])],
        [weights],
    )
    path = tmp_path / "net.onnx"
    onnx.save(
        onnx.helper.make_model(graph),
        path,
        save_as_external_data=True,
        location=location,
        size_threshold=0,
    )
    sizes = stored_sizes(path, str(path))
    assert sizes["bytes_dense"] == path.stat().st_size + 40_000
    assert sizes["bytes_stored"] == sizes["bytes_dense"]
