# SPDX-License-Identifier: BSD-3-Clause
"""Checks of a live Brevitas module: settings that are not in its tensors.

A module's state does not contain strides, padding, epsilons or settings of quantizers; the module
itself does. Settings that differ from Brevitas' bnn_pynq networks are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bnn.errors import FormatError

#: Class of a module -> attributes and the values that they must have.
_ONE, _NONE = (1, (1, 1)), (0, (0, 0))
_SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "QuantConv2d": {
        "stride": _ONE,
        "padding": _NONE,
        "dilation": _ONE,
        "groups": (1,),
        "padding_mode": ("zeros",),
        "bias": (None,),
    },
    "QuantLinear": {"bias": (None,)},
    "MaxPool2d": {
        "kernel_size": (2, (2, 2)),
        "stride": (2, (2, 2)),
        "padding": _NONE,
        "dilation": _ONE,
        "ceil_mode": (False,),
        "return_indices": (False,),
    },
    "BatchNorm1d": {"track_running_stats": (True,)},
    "BatchNorm2d": {"track_running_stats": (True,)},
    "TensorNorm": {},
    "QuantIdentity": {},
    "Dropout": {},
}


def check(module: Any, epsilons: Mapping[str, float], tensor_norm: float) -> None:
    """Refuse a network with a setting that is not in its tensors and differs from bnn_pynq's.

    Args:
        module: the network.
        epsilons: name of a module list (``features``) -> epsilon of the batch norms in it.
        tensor_norm: epsilon of the last layer, a batch norm over all values.

    Raises:
        FormatError: a setting differs; the message names module and setting.
    """
    for section, epsilon in epsilons.items():
        for number, one in enumerate(getattr(module, section, None) or ()):
            kind, where = type(one).__name__, f"module {section}.{number}"
            if kind not in _SETTINGS:
                raise FormatError(f"{where} is a {kind}; export the module to QONNX")
            for key, allowed in _SETTINGS[kind].items():
                value = getattr(one, key, None)
                if not any(type(value) is type(right) and value == right for right in allowed):
                    raise FormatError(f"{where}: {key} is {value!r}; export the module to QONNX")
            wanted = tensor_norm if kind == "TensorNorm" else epsilon
            if "Norm" in kind and float(one.eps) != wanted:
                raise FormatError(
                    f"{where}: epsilon is {one.eps}, not {wanted:g}; export the module to QONNX"
                )
            for quantizer in ("weight_quant", "act_quant", "input_quant", "output_quant"):
                if (given := getattr(one, quantizer, None)) is not None:
                    _check_quantizer(f"{where}: {quantizer}", given, number == 0)


def _check_quantizer(where: str, quantizer: Any, is_first: bool) -> None:
    width = quantizer.bit_width()
    if width is None:
        return  # an Identity; the caller refuses it if a quantizer is needed
    bits = int(width)
    if float(width) != bits or not 1 <= bits <= 8:
        raise FormatError(f"{where} has {float(width):g} bits; whole numbers from 1 to 8 are read")
    fraction = is_first and bits == 8
    scale = 1 / 128 if fraction else 1.0 / max(1, (1 << (bits - 1)) - 1)
    for what, value, right in (
        ("scale", quantizer.scale(), scale),
        ("zero point", quantizer.zero_point(), 0.0),
    ):
        found = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
        if found.size != 1 or float(found.reshape(-1)[0]) != np.float32(right):
            raise FormatError(
                f"{where}: its {what} is {found.reshape(-1)[:3]}, not {right:g}; export to QONNX"
            )
    signed, narrow = bool(quantizer.is_signed), bool(quantizer.is_narrow_range)
    if not signed or (bits > 1 and narrow == fraction):
        raise FormatError(
            f"{where}: signed={signed} with narrow_range={narrow} cannot be read here; export the "
            "module to QONNX"
        )
