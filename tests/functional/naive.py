"""Convolution and pooling as the definitions read, one window at a time."""

import math

import numpy as np


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def margins(padding, sizes, extents, strides):
    """Return ((above, below), (left, right))."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        totals = [max((math.ceil(n / s) - 1) * s + e - n, 0) for n, e, s in zip(sizes, extents, strides, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple(pair(side) for side in pair(padding))


def padded_windows(x, kernel, stride, padding, dilation, fill):
    """Yield (p, q, window (n, kh, kw, c)) for each output pixel."""
    kernel, stride, dilation = pair(kernel), pair(stride), pair(dilation)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    x = np.pad(x, ((0, 0), *margins(padding, x.shape[1:3], extents, stride), (0, 0)), constant_values=fill)
    for p, top in enumerate(range(0, x.shape[1] - extents[0] + 1, stride[0])):
        for q, left in enumerate(range(0, x.shape[2] - extents[1] + 1, stride[1])):
            window = x[:, top : top + extents[0] : dilation[0], left : left + extents[1] : dilation[1], :]
            yield p, q, window


def assembled(pixels):
    """Make an image of {(p, q): (n, c) array}."""
    height, width = (1 + max(index) for index in zip(*pixels, strict=True))
    return np.stack([np.stack([pixels[p, q] for q in range(width)], axis=1) for p in range(height)], axis=1)


def conv2d(x, weight, bias, stride, padding, dilation, groups):
    kh, kw, inputs, outputs = weight.shape
    pixels = {}
    for p, q, window in padded_windows(x, (kh, kw), stride, padding, dilation, 0.0):
        pixel = np.zeros((len(x), outputs)) if bias is None else np.tile(bias, (len(x), 1))
        for o in range(outputs):
            group = o // (outputs // groups)
            seen = window[..., group * inputs : (group + 1) * inputs]
            pixel[:, o] += np.sum(seen * weight[..., o], axis=(1, 2, 3))
        pixels[p, q] = pixel
    return assembled(pixels)


def pool2d(x, window, stride, padding, reduce, fill):
    stride = window if stride is None else stride
    pixels = {(p, q): reduce(seen, axis=(1, 2)) for p, q, seen in padded_windows(x, window, stride, padding, 1, fill)}
    return assembled(pixels)
