"""
A trained network, elsewhere: ONNX
==================================

An ONNX file holds a network in a form that other programs compute: onnxruntime on a server, a phone or in a browser,
and the compilers of many chips. Here a run's model becomes such a file, and onnxruntime answers as xnn does. It needs
the extra ``onnx`` and the package ``onnxruntime``; :doc:`/onnx` says more.
"""

# %%
# Train
# -----
#
# Three epochs of the recipe ``cnn`` on the digits that come with xnn.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnx
import onnxruntime

import xnn
from xnn import data, reporting

folder = Path(tempfile.mkdtemp())
settings = xnn.Settings(recipe="cnn", epochs=3, backend="numpy", run_dir=folder / "run")
result = xnn.train(settings)
print(f"test accuracy {result.values['test_accuracy']:.2%}")

# %%
# Export
# ------
#
# ``xnn-export RUN_DIR model.onnx`` does the same as this line. All that the run did to its test images is in the graph.

exported = xnn.export_onnx(result.directory, folder / "model.onnx")
print(f"{exported.path.name}: {exported.size:,} bytes, from {exported.input} to {exported.output}")

# %%
# The graph has an operator for each layer, and nothing that needs xnn:

model = onnx.load(exported.path)
print(" -> ".join(node.op_type for node in model.graph.node))

# %%
# Predict
# -------
#
# The images go in as they are, rows of unsigned bytes; the batch has any length. The classes' names are in the file.

session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
test = data.load("digits").test
(probabilities,) = session.run(None, {"images": test.images})
accuracy = np.mean(probabilities.argmax(axis=1) == test.labels)
print(f"in onnxruntime {accuracy:.2%}")

# %%
# Compare
# -------
#
# xnn gives the same probabilities within rounding, and of course the same accuracy.

saved = reporting.load_model(result.directory)
ours = reporting.evaluate(saved, test)
difference = np.max(np.abs(probabilities[np.arange(len(test.labels)), test.labels] - ours.own))
print(f"in xnn {ours.accuracy:.2%}; the probabilities differ by {difference:.1e} at most")
if accuracy != ours.accuracy:
    raise RuntimeError("the file does not answer as the run does")

# %%
# The digits that onnxruntime was least certain of:

hardest = np.argsort(probabilities.max(axis=1))[:8]
figure, axes = plt.subplots(2, 4, figsize=(7, 4), layout="constrained")
for image, axis in zip(hardest, axes.flat, strict=True):
    best = probabilities[image].argmax()
    axis.imshow(test.images[image, :, :, 0], cmap="gray_r")
    axis.set_title(f"{classes[best]}, {probabilities[image, best]:.0%}", fontsize=10)
    axis.axis("off")
plt.show()
