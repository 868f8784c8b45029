"""The table of twins: which functions each one replaces, where it is, and what it is for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Twin:
    """A row of the table.

    Attributes
    ----------
    names
        The name of the function, or those of a chain's functions in order; or of an optimizer's class, with its module;
        or of other work, see `single_pass`; or of a draw of `xnn.random.Random` or a change to images in `xnn.data`.
    module
        The module of `xnn.kernels.LIBRARY` that has the twin.
    name
        The twin's name there; by default `names`, joined by underscores.
    precision
        The only precision that it is for, and in which it is preferred to the general twin; empty for a general one.
    spreads
        Whether it spreads products over xnn's own threads, which BLAS's threads would slow down.
    pending
        Whether its pullback may return gradients that are not written yet; see `xnn.kernels.pending`.
    casts
        Whether it takes x of a lower type beside parameters in float32, and gives what the reference does for x cast to
        float32, with y cast back. Then a model in a lower precision leaves x to it as it is.

    Examples
    --------
    >>> from xnn.kernels.table import TABLE
    >>> [row.module for row in TABLE["numpy"] if row.names == ("conv2d", "relu", "max_pool2d")]
    ['conv', 'conv']
    """

    names: tuple[str, ...]
    module: str
    name: str = ""
    precision: str = ""
    spreads: bool = False
    pending: bool = False
    casts: bool = False


NUMPY = (
    Twin(("avg_pool2d",), "pooling"),
    Twin(("batch_norm",), "normalization"),
    Twin(("batch_norm", "gelu"), "normalization"),
    Twin(("batch_norm", "relu"), "normalization"),
    Twin(("batch_norm_inference",), "normalization"),
    Twin(("batch_norm_inference", "gelu"), "normalization"),
    Twin(("batch_norm_inference", "relu"), "normalization"),
    Twin(("batch_norm_statistics",), "normalization"),
    Twin(("conv2d",), "conv", spreads=True),
    Twin(("conv2d",), "conv", "conv2d_tf32", "tf32", spreads=True),
    Twin(("conv2d", "max_pool2d"), "conv"),
    Twin(("conv2d", "max_pool2d"), "conv", "conv2d_max_pool2d_tf32", "tf32"),
    Twin(("conv2d", "relu", "max_pool2d"), "conv"),
    Twin(("conv2d", "relu", "max_pool2d"), "conv", "conv2d_relu_max_pool2d_tf32", "tf32"),
    Twin(("dropout",), "dropout"),
    Twin(("gelu",), "activations"),
    Twin(("global_max_pool2d",), "pooling"),
    Twin(("linear",), "linear", pending=True),
    Twin(("linear", "relu"), "linear", pending=True),
    Twin(("max_pool2d",), "pooling"),
    Twin(("relu",), "activations"),
    Twin(("relu", "max_pool2d"), "pooling"),
    Twin(("sigmoid",), "activations"),
    Twin(("silu",), "activations"),
    Twin(("softmax_cross_entropy",), "losses"),
    Twin(("tanh",), "activations"),
    Twin(("xnn.optim.adam.Adam",), "optimizers", "adam"),
    Twin(("xnn.optim.adam.AdamW",), "optimizers", "adamw"),
    Twin(("xnn.optim.rmsprop.RMSprop",), "optimizers", "rmsprop"),
    Twin(("xnn.optim.sgd.SGD",), "optimizers", "sgd"),
    Twin(("clip_norm",), "flat_vectors"),
    Twin(("move_average",), "flat_vectors"),
    Twin(("prepare_images",), "augmentation"),
)
CUPY = (
    Twin(("avg_pool2d",), "pooling"),
    Twin(("batch_norm", "gelu"), "normalization", casts=True),
    Twin(("batch_norm", "relu"), "normalization", casts=True),
    Twin(("batch_norm", "silu"), "normalization", casts=True),
    Twin(("batch_norm",), "normalization", casts=True),
    Twin(("batch_norm_inference", "gelu"), "normalization", casts=True),
    Twin(("batch_norm_inference", "relu"), "normalization", casts=True),
    Twin(("batch_norm_inference", "silu"), "normalization", casts=True),
    Twin(("batch_norm_inference",), "normalization", casts=True),
    Twin(("batch_norm_statistics",), "normalization", casts=True),
    Twin(("cast_vector",), "flat_vectors"),
    Twin(("change_images",), "augmentation"),
    Twin(("clip_norm",), "flat_vectors"),
    Twin(("conv2d",), "conv", pending=True),
    Twin(("dropout",), "dropout"),
    Twin(("elu",), "activations", casts=True),
    Twin(("gelu",), "activations", casts=True),
    Twin(("global_avg_pool2d",), "pooling"),
    Twin(("global_max_pool2d",), "pooling"),
    Twin(("integers",), "draws"),
    Twin(("jitter_colours",), "photographs"),
    Twin(("keep_vectors",), "loss_scaling"),
    Twin(("layer_norm",), "normalization", casts=True),
    Twin(("leaky_relu",), "activations"),
    Twin(("linear", "relu"), "linear", pending=True),
    Twin(("linear",), "linear", pending=True),
    Twin(("max_pool2d",), "pooling"),
    Twin(("move_average",), "flat_vectors"),
    Twin(("move_statistics",), "normalization"),
    Twin(("prepare_images",), "augmentation"),
    Twin(("relu", "max_pool2d"), "pooling"),
    Twin(("relu",), "activations"),
    Twin(("sample_images",), "photographs"),
    Twin(("settle_step",), "loss_scaling"),
    Twin(("sigmoid",), "activations", casts=True),
    Twin(("silu",), "activations", casts=True),
    Twin(("softmax_cross_entropy",), "losses"),
    Twin(("softplus",), "activations", casts=True),
    Twin(("tanh",), "activations", casts=True),
    Twin(("uniform",), "draws"),
    Twin(("unscale_gradients",), "loss_scaling"),
    Twin(("xnn.optim.adam.Adam",), "optimizers", "adam"),
    Twin(("xnn.optim.adam.AdamW",), "optimizers", "adamw"),
    Twin(("xnn.optim.muon.Muon",), "muon", "muon"),
    Twin(("xnn.optim.rmsprop.RMSprop",), "optimizers", "rmsprop"),
    Twin(("xnn.optim.sgd.SGD",), "optimizers", "sgd"),
)
NDONNX = (
    Twin(("add",), "shaping"),
    Twin(("avg_pool2d",), "pooling"),
    Twin(("batch_norm_inference",), "normalization"),
    Twin(("concatenate",), "shaping"),
    Twin(("conv2d",), "conv"),
    Twin(("elu",), "activations"),
    Twin(("flatten",), "shaping"),
    Twin(("gelu",), "activations"),
    Twin(("global_avg_pool2d",), "pooling"),
    Twin(("global_max_pool2d",), "pooling"),
    Twin(("layer_norm",), "normalization"),
    Twin(("leaky_relu",), "activations"),
    Twin(("linear",), "linear"),
    Twin(("log_softmax",), "activations"),
    Twin(("max_pool2d",), "pooling"),
    Twin(("relu",), "activations"),
    Twin(("reshape",), "shaping"),
    Twin(("sigmoid",), "activations"),
    Twin(("silu",), "activations"),
    Twin(("softmax",), "activations"),
    Twin(("softplus",), "activations"),
    Twin(("tanh",), "activations"),
)
TABLE = {"numpy": NUMPY, "cupy": CUPY, "ndonnx": NDONNX}
NEEDS = {"numpy": ("numba", "threadpoolctl")}
"""Packages that a library's twins need besides the library itself."""

LONGEST = max(len(row.names) for rows in TABLE.values() for row in rows)
"""Functions in the longest chain."""
