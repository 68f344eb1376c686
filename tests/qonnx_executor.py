# SPDX-License-Identifier: BSD-3-Clause
"""Executes QONNX with onnx's own reference evaluator and the operators' definitions.

Independent of the converter: it knows nothing of networks, layers or layouts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

DOMAIN = "qonnx.custom_op.general"


def rounded(x: Any, mode: str) -> Any:
    """QONNX's rounding modes, from the operator's document."""
    whole, size, sign = np.floor(x), np.abs(x), np.sign(x)
    match mode:
        case "ROUND":
            return np.round(x)
        case "FLOOR":
            return whole
        case "CEIL":
            return -np.floor(-x)
        case "UP":
            return sign * -np.floor(-size)
        case "DOWN":
            return sign * np.floor(size)
        case "HALF_UP":
            return sign * np.floor(size + np.float32(0.5))
        case "HALF_DOWN":
            return sign * -np.floor(-(size - np.float32(0.5)))
    raise ValueError(mode)


def bounds(bits: float, signed: int, narrow: int) -> tuple[Any, Any]:
    """Least and largest integer."""
    if signed:
        return np.float32(-(2 ** (bits - 1)) + narrow), np.float32(2 ** (bits - 1) - 1)
    return np.float32(0), np.float32(2**bits - 1 - narrow)


class Quant(OpRun):
    op_domain = DOMAIN

    def _run(
        self,
        x: Any,
        scale: Any,
        zero: Any,
        bits: Any,
        signed: int = 1,
        narrow: int = 0,
        rounding_mode: str = "ROUND",
    ) -> Any:
        low, high = bounds(bits.item(), signed or 0, narrow or 0)
        q = rounded(np.clip(x / scale + zero, low, high), rounding_mode or "ROUND")
        return (((q - zero) * scale).astype(np.float32),)


class BipolarQuant(OpRun):
    op_domain = DOMAIN

    def _run(self, x: Any, scale: Any) -> Any:
        return (np.where(x >= 0, scale, -scale).astype(np.float32),)


class Trunc(OpRun):
    op_domain = DOMAIN

    def _run(
        self, x: Any, scale: Any, zero: Any, before: Any, after: Any, rounding_mode: str = "FLOOR"
    ) -> Any:
        q = np.round(x / scale + zero) / np.float32(2 ** (before.item() - after.item()))
        return (((rounded(q, rounding_mode or "FLOOR") - zero) * scale).astype(np.float32),)


class MultiThreshold(OpRun):
    op_domain = DOMAIN

    def _run(
        self,
        x: Any,
        thresholds: Any,
        out_dtype: str = "",
        out_scale: float = 1.0,
        out_bias: float = 0.0,
        data_layout: str = "",
    ) -> Any:
        del out_dtype
        axis = data_layout.index("C") if data_layout else 1
        last = np.moveaxis(x, axis, -1)
        count = (last[..., None] >= thresholds).sum(axis=-1).astype(np.float32)
        return (
            np.moveaxis(np.float32(out_scale) * count + np.float32(out_bias), -1, axis).astype(
                np.float32
            ),
        )


def execute(model: ModelProto, inputs: Any) -> Any:
    """Outputs (N, ...) of a model with batch size 1, sample by sample."""
    session = ReferenceEvaluator(model, new_ops=[Quant, BipolarQuant, Trunc, MultiThreshold])
    name = session.input_names[0]
    return np.concatenate([session.run(None, {name: row[None]})[0] for row in inputs])
