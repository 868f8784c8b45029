"""Models as onnxruntime computes them."""

import numpy as np
import pytest

from xnn.exporting.opsets import newest_opset

onnx = pytest.importorskip("onnx", reason="an export to ONNX needs onnx, of the extra onnx")
pytest.importorskip("ndonnx", reason="an export to ONNX needs ndonnx, of the extra onnx")
ort = pytest.importorskip("onnxruntime", reason="what an exported file computes is asked of onnxruntime")

NEWEST = min(newest_opset(), 28)
"""The newest version of the operators that the tests ask for; onnxruntime 1.32 computes it."""


def session(path):
    """Return a session on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs(exported, x):
    """Return what a file makes of a batch."""
    (y,) = session(exported.path).run([exported.output], {exported.input: np.asarray(x, exported.input_dtype)})
    return y


def assert_same(found, expected, rtol=1e-5):
    """Compare, relative to the largest number."""
    assert found.dtype == np.float32
    scale = np.max(np.abs(expected), initial=np.finfo(np.float32).tiny)
    np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * scale)


def built(layer, shape, seed):
    """Build a layer on NumPy and give it arrays as if it had been trained."""
    model = layer.build(shape, backend="numpy", seed=seed)
    random = np.random.default_rng(seed)
    for values in model.buffers.values():
        values[...] = random.uniform(0.5, 2.0, values.shape)
    for values in model.parameters.values():
        values[...] += random.normal(0.0, 0.1, values.shape)
    return model
