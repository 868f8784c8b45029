"""
Your own photographs
====================

A folder for each class is all that xnn needs to train on pictures of your own. Here we make such a folder, train on it,
and ask the model about a picture that it has not seen. With your own folder, leave out the first part.
"""

# %%
# A folder of pictures
# --------------------
#
# We have no photographs at hand, so we make some: digits of several sizes, in colour, saved as JPEG files. Each
# subfolder of ``photographs`` becomes a class, and its name is the name of the class.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageOps

import xnn
from xnn import data

CLASSES = ("zero", "one", "two", "three")
folder = Path(tempfile.mkdtemp())
photographs = folder / "photographs"
digits = data.load("digits")
random = np.random.default_rng(seed=0)


def photograph(image):
    """Return a digit as it might look on coloured paper, from nearer or farther away."""
    side = int(random.integers(40, 120))
    grey = Image.fromarray(image[..., 0]).resize((side, side), Image.Resampling.BICUBIC)
    ink, paper = random.integers(0, 100, 3), random.integers(160, 256, 3)
    return ImageOps.colorize(grey, black=tuple(map(int, paper)), white=tuple(map(int, ink)))


for label, name in enumerate(CLASSES):
    (photographs / name).mkdir(parents=True)
    for number in np.flatnonzero(digits.train.labels == label)[:80]:
        photograph(digits.train.images[number]).save(photographs / name / f"{number}.jpg")

print(sorted(path.name for path in photographs.iterdir()))

# %%
# Training
# --------
#
# xnn reads pictures of any size, brings them to one, and holds a fifth of each class back as the test set. Without
# further settings it would train a network and for as long as suits so few images; ten epochs at 16 pixels are enough
# here. Colour images are mirrored at random unless we say otherwise, and digits must not be. On the command line:
#
# .. code-block:: console
#
#    $ xnn-train --dataset photographs --image-size 16 --epochs 10 --augment shift

settings = xnn.Settings(
    dataset=str(photographs), image_size=16, epochs=10, augment=("shift",), run_dir=str(folder / "run")
)
run = xnn.train(settings, report=print)
print(f"{run.values['test_accuracy']:.1%} of the test pictures are right")

# %%
# A new picture
# -------------
#
# ``xnn-predict RUN_DIR picture.jpg`` is the command for this. It is also a function, which prints the same. The picture
# is of a digit that was in neither of the two sets.

from xnn.cli import predict

picture = folder / "picture.jpg"
unseen = np.flatnonzero(digits.test.labels == CLASSES.index("three"))[0]
photograph(digits.test.images[unseen]).save(picture)
predict.main([str(run.directory), str(picture)])

plt.figure(figsize=(3, 3))
plt.imshow(Image.open(picture))
plt.axis("off")
plt.show()
