# SPDX-License-Identifier: BSD-3-Clause
"""Weights of QONNX convolutions and dense layers, in the layout of the network's layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.onnx_file import MAX_VALUES
from bnn.formats.qonnx.operators import Op
from bnn.formats.qonnx.quantizers import QUANTS, quantizer
from bnn.formats.stack import dilated, extent, grouped
from bnn.formats.weights import Weights, from_any, whole
from bnn.program.operations import Pair
from bnn.program.precision import BIPOLAR, TERNARY

Array = NDArray[Any]


def _constant(node: Op, inputs: Sequence[object], index: int, what: str) -> Constant:
    value = inputs[index] if index < len(inputs) else None
    if not isinstance(value, Constant):
        raise FormatError(f"{node}: its {what} must be constants")
    if value.value.dtype != np.float32:
        raise FormatError(f"{node}: its {what} must be float32, not {value.value.dtype}")
    return value


def quantized_constant(node: Op, inputs: list[Constant]) -> Constant | None:
    """Return the result of the quantizer ``node`` on constant weights.

    Return None if ``node`` is not a quantizer.
    """
    if node.kind not in QUANTS:
        return None
    given = quantizer(node, inputs)
    value = inputs[0].value.astype(np.float32)
    with np.errstate(all="ignore"):
        integers = given.integers(value)
    if not np.isfinite(integers).all():
        raise FormatError(f"{node}: the weights that it quantizes are not finite")
    try:
        scale = np.broadcast_to(given.scale, value.shape)
        np.broadcast_to(given.zero_point, value.shape)
    except ValueError:
        raise FormatError(f"{node}: scale or zero point do not fit the weights' shape") from None
    if not given.whole_zero_point:
        raise FormatError(f"{node}: weights with a fractional zero point cannot be converted")
    zero = given.zero_point
    shift = int(zero.min()), int(zero.max())
    return Constant(
        (integers - zero) * scale,
        integers - zero,
        scale,
        given.low - shift[1],
        given.high - shift[0],
    )


def kernel_of(node: Op, inputs: Sequence[object], channels: int, last: bool) -> Weights:
    """Return kernels (out, height, width, in) of a Conv on ``channels`` channels.

    The kernels have zeros for the channels of other groups and between dilated positions: so they
    read all channels, and are not dilated.
    """
    given = _constant(node, inputs, 1, "weights")
    row = given.value.ndim == 3 and not last
    if row:
        given = given.moved(lambda a: a[:, :, None, :])
    if given.value.ndim != 4:
        raise FormatError(f"{node}: only convolutions over one or two dimensions can be converted")
    weights = _weights(node, given if last else given.moved(lambda a: a.transpose(0, 2, 3, 1)))
    size = tuple(given.value.shape[1:3] if last else given.value.shape[2:4])
    named = tuple(node.attribute("kernel_shape") or size)
    if ((1, *named) if row and len(named) == 1 else named) != size:
        raise FormatError(
            f"{node}: kernel_shape={node.attribute('kernel_shape')}, but its kernels are {size}"
        )
    groups = int(node.attribute("group"))
    if (
        groups < 1
        or len(weights.integers) % groups
        or weights.integers.shape[3] * groups != channels
    ):
        raise FormatError(
            f"{node}: weights of shape {given.value.shape} in {groups} groups do not fit "
            f"{channels} channels"
        )
    dilations = node.attribute("dilations") or [1, 1]
    if row and len(dilations) == 1:
        dilations = [1, *dilations]
    if len(dilations) != 2 or min(dilations) < 1:
        raise FormatError(f"{node}: dilations must be two positive numbers, not {dilations}")
    spread: Pair = (dilations[0], dilations[1])
    check_size(node, weights.integers.shape, channels, spread)
    integers = weights.integers if groups == 1 else grouped(weights.integers, groups)
    integers = integers if spread == (1, 1) else dilated(integers, spread)
    precision = weights.precision
    if integers.size != weights.integers.size and precision == BIPOLAR:
        precision = TERNARY  # for the zeros
    return replace(weights, integers=integers, precision=precision)


def check_size(node: Op, shape: tuple[int, ...], channels: int, spread: Pair) -> None:
    """Refuse a convolution whose kernels with the zeros of :func:`kernel_of` would be too large.

    Args:
        node: the convolution.
        shape: (out, height, width, ...) of the stored weights.
        channels: input channels of the kernel without groups.
        spread: dilation (height, width).

    Raises:
        FormatError: the kernel with the zeros of groups and dilation has too many values.
    """
    out, height, width = shape[:3]
    size = extent((height, width), spread)
    if out * size[0] * size[1] * channels > MAX_VALUES:
        raise FormatError(
            f"{node}: its kernels, with zeros for {channels} channels and dilations {spread}, have "
            f"more than {MAX_VALUES} values"
        )


def matrix_of(node: Op, inputs: Sequence[object], channels: int) -> Weights:
    """Return the weights (units, inputs) of a MatMul or Gemm."""
    given = _constant(node, inputs, 1, "weights")
    is_gemm = node.kind == "Gemm"
    if given.value.ndim != 2 or (is_gemm and node.attribute("transA")):
        raise FormatError(f"{node}: only products with a constant matrix can be converted")
    shape = given.value.shape
    if not (is_gemm and node.attribute("transB")):
        given = given.moved(np.transpose)
    if given.value.shape[1] != channels:
        raise FormatError(f"{node}: weights of shape {shape} do not fit {channels} inputs")
    weights = _weights(node, given)
    alpha = float(node.attribute("alpha")) if is_gemm else 1.0
    if alpha == 0 or not np.isfinite(alpha):
        raise FormatError(f"{node}: alpha={alpha} cannot be converted")
    if alpha != 1:
        weights = replace(weights, scale=weights.scale * np.float32(alpha))
    return weights


def _weights(node: Op, given: Constant) -> Weights:
    if given.integers is None or given.scale is None:
        return from_any(given.value, str(node))
    rows = given.scale.reshape(len(given.scale), -1)
    if (rows != rows[:, :1]).any():
        raise FormatError(f"{node}: its weights have a scale per input; that cannot be converted")
    scale = rows[:1, 0] if (rows == rows[0, 0]).all() else rows[:, 0]
    low, high = given.low, given.high
    if high - low > 255 or low < -128 or high > 255:
        low, high = int(given.integers.min()), int(given.integers.max())
    if low < -(1 << 15) or high >= 1 << 15:
        raise FormatError(f"{node}: its weights need more than 16 bits with their sign")
    return whole(given.integers, scale, low, high)


def bias_of(
    node: Op, inputs: Sequence[object], units: int, batch: int
) -> NDArray[np.float32] | None:
    """Return the bias (units,) of a Conv or Gemm, or None."""
    if len(inputs) < 3 or inputs[2] is None:
        return None
    value = _constant(node, inputs, 2, "bias").value.astype(np.float32)
    is_gemm = node.kind == "Gemm"
    try:
        # Gemm's bias is broadcast to the sum; Conv's has one number per kernel.
        full = np.broadcast_to(value, (batch, units)) if is_gemm else value.reshape(1, units)
    except ValueError:
        raise FormatError(
            f"{node}: its bias has shape {value.shape}, but it has {units} outputs"
        ) from None
    if (full != full[:1]).any() or (not is_gemm and value.ndim != 1):
        raise FormatError(f"{node}: its bias of shape {value.shape} is not one number per output")
    beta = np.float32(node.attribute("beta")) if is_gemm else np.float32(1)
    return np.asarray(full[0] * beta)
