"""The `digits` data set, embedded in the package: 1,797 real images of handwritten digits, 8x8 pixels.

They come from scikit-learn's ``load_digits`` (see ``digits/ATTRIBUTION.md``). Its pixels, 0 to 16, are stored here as
``(255 * value + 8) // 16``, 0 to 255. The split is fixed: order the images by label, keeping the order within a label;
those at positions 0, 5, 10, ... are the test set (360 images, a fifth of each class), the others the training set
(1,437 images). Both are stored in their original order.
"""

from importlib import resources

from xnn.data.idx import read_pair
from xnn.data.mnist import FILES
from xnn.data.splits import Arrays


def read_digits() -> Arrays:
    """Return the embedded images and labels."""
    folder = resources.files("xnn.data") / "digits"
    with resources.as_file(folder) as path:
        images, labels, test_images, test_labels = (path / f"{name}.gz" for name in FILES)
        return Arrays(*read_pair(images, labels, 10), *read_pair(test_images, test_labels, 10))
