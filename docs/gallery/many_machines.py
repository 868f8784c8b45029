"""
Training by several processes
=============================

A program that makes a *world* of its processes, and gives it to the trainer, runs on one machine or on many: MPI starts
it as often as you like, and each process, a *rank*, takes its share of every batch. The gradients are added up, so all
ranks end with the same weights, and they are those of one process but for rounding. :doc:`/machines` has the rest.
"""

# %%
# The program
# -----------
#
# Only two lines know of other processes: the one that makes the world, and the one that gives it to the trainer. Here
# each rank saves what it ends with, so that we can look at it; as a rule the first one does.

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

PROGRAM = """
import json
import sys
from pathlib import Path

import numpy as np
import xnn
from xnn import data, nn, optim

world = xnn.distributed.mpi() if sys.argv[2] == "mpi" else None
rank = 0 if world is None else world.rank

backend = xnn.backend("numpy")
digits = data.load("digits")
options = {"backend": backend, "normalization": data.Normalization.of(digits.train)}
train = data.Batches(digits.train, batch_size=64, seed=0, **options)
test = data.Batches(digits.test, batch_size=180, shuffle=False, **options)

layers = [nn.Conv2d(16, 3), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(10)]
model = nn.Sequential(*layers).build(digits.image_shape, backend=backend, seed=0)
optimizer = optim.SGD(model, lr=0.1, momentum=0.9)

trainer = xnn.Trainer(model, optimizer, world=world)
history = trainer.fit(train, test, epochs=5)

folder = Path(sys.argv[1])
np.save(folder / f"weights-{rank}.npy", model.parameters.flat)
(folder / f"history-{rank}.json").write_text(json.dumps(list(history)))
"""

# %%
# One process, then two
# ---------------------
#
# ``mpiexec`` comes with xnn's extra ``mpi``. Each of two ranks gets one thread.

search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
mpiexec = shutil.which("mpiexec", path=search)
folder = Path(tempfile.mkdtemp())
program = folder / "program.py"
program.write_text(PROGRAM)


def run(name, start, kind):
    """Run the program, and return what its ranks ended with: their weights, and the history of the first."""
    (folder / name).mkdir()
    threads = {"XNN_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [*start, sys.executable, str(program), str(folder / name), kind]
    subprocess.run(command, env=os.environ | threads, check=True)
    weights = [np.load(path) for path in sorted((folder / name).glob("weights-*.npy"))]
    return weights, json.loads((folder / name / "history-0.json").read_text())


(alone,), history = run("one", [], "alone")
runs = {"one process": history}
if mpiexec is None:
    print("there is no mpiexec here: pip install '.[mpi]' in a clone of xnn brings one")
else:
    (first, second), runs["two ranks"] = run("two", [mpiexec, "-n", "2"], "mpi")
    print("both ranks have the same weights, bit for bit:", np.array_equal(first, second))
    print(f"largest difference to one process: {np.max(np.abs(first - alone)):.1e} of {np.max(np.abs(alone)):.2f}")

# %%
# The same course
# ---------------
#
# The order in which numbers are added up differs, so the last digits do. In a picture you see one line:

figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (name, rows), style in zip(runs.items(), ("-", "o"), strict=False):
    axes.semilogy([row["epoch"] for row in rows], [row["validation_loss"] for row in rows], style, label=name)
axes.set(xlabel="epoch", ylabel="loss on the test images", xticks=range(1, 6))
axes.legend()
plt.show()
shutil.rmtree(folder)
