# SPDX-License-Identifier: BSD-3-Clause
"""The input of a program, and how the host turns it into small integers.

The host quantizes the input (specification, section 4): runtimes and hardware get integers of the
input's precision only. There is one exception, for speed: a runtime may take the bytes of a
picture, and look them up in :attr:`PictureInput.table` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn._checked import Checked
from bnn.errors import InputError, ProgramError
from bnn.program.precision import BIPOLAR, Precision

#: ``(features,)`` or ``(height, width, channels)``.
Shape = tuple[int, ...]


def _check_shape(shape: Shape) -> None:
    if len(shape) not in (1, 3) or any(type(n) is not int or n < 1 for n in shape):
        raise ProgramError(f"input shape must be (features,) or (height, width, channels): {shape}")


def _frozen(values: Any, dtype: Any, what: str) -> NDArray[Any]:
    array = np.array(values, dtype=dtype)
    if not np.array_equal(array, np.asarray(values)):
        raise ProgramError(f"{what} do not fit {np.dtype(dtype).name}")
    array.setflags(write=False)
    return array


def check_batch(array: Any, shape: Shape) -> NDArray[Any]:
    """Return ``array`` as an ndarray of shape (N, *shape).

    Raises:
        InputError: ``array`` has another shape.
    """
    batch = np.asarray(array)
    if batch.shape[1:] != shape or batch.ndim != len(shape) + 1:
        wanted = ", ".join(map(str, ("N", *shape)))
        sizes = sorted(size for size in batch.shape[1:] if size > 1)
        order = "; bring its axes into this order: height, width, channels"
        advice = order if len(sizes) > 1 and sizes == sorted(n for n in shape if n > 1) else ""
        raise InputError(f"inputs have shape {batch.shape}, the model takes ({wanted}){advice}")
    return batch


@dataclass(frozen=True, eq=False)
class PictureInput(Checked):
    """Input of 8-bit pictures; a table has the integer of each byte.

    Attributes:
        shape: (height, width, channels).
        precision: precision of the integers in the table, 1 to 16 bits, within int16.
        table: int16 (256,): the integer that byte p stands for.
    """

    shape: Shape
    precision: Precision
    table: NDArray[np.int16]

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        object.__setattr__(self, "table", _frozen(self.table, np.int16, "table entries"))
        if self.table.shape != (256,):
            raise ProgramError(f"a picture table has 256 entries, not {self.table.shape}")
        if not self.precision.allows(self.table):
            raise ProgramError(f"picture table has values outside {self.precision.range_text}")

    def check(self, array: Any) -> NDArray[np.uint8]:
        """Return ``array`` as bytes (N, height, width, channels) for a runtime, without a copy.

        Raises:
            InputError: ``array`` has another shape, or is not uint8.
        """
        batch = check_batch(array, self.shape)
        if batch.dtype != np.uint8:
            raise InputError(f"pictures are uint8, these are {batch.dtype}")
        return batch

    def integers(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Return the integers, int16 (N, *shape), of checked bytes (N, *shape)."""
        integers: NDArray[Any] = self.table[batch]
        return integers


@dataclass(frozen=True, eq=False)
class IntegerInput:
    """Input of integers, which are used without a change.

    Attributes:
        shape: (features,) or (height, width, channels).
        precision: 1 to 16 bits, within int16.
    """

    shape: Shape
    precision: Precision

    def __post_init__(self) -> None:
        _check_shape(self.shape)

    def check(self, array: Any) -> NDArray[Any]:
        """Return ``array`` as int16 (N, *shape) for a runtime.

        Raises:
            InputError: ``array`` has another shape, no integers, or values outside the precision.
        """
        batch = check_batch(array, self.shape)
        if batch.dtype == np.bool_:
            batch = batch.astype(np.uint8)
        if not np.issubdtype(batch.dtype, np.integer):
            raise InputError(f"the model takes {self.precision} integers, these are {batch.dtype}")
        if not self.precision.allows(batch):
            raise InputError(f"input values are outside {self.precision.range_text}")
        return batch.astype(np.int16)

    def integers(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Return checked inputs (N, *shape) unchanged: they are integers already."""
        return batch


@dataclass(frozen=True, eq=False)
class RealInput(Checked):
    """Input of real values, which the host quantizes in float32.

    It expresses the quantizers of ONNX (Quant), QONNX (BipolarQuant) and DoReFa. For bipolar
    precision the integer is ``q = +1 if x / scale + zero_point >= 0 else -1``, for other precisions
    ``q = round(clip(x / scale + zero_point, low, high))``.

    Attributes:
        shape: (features,) or (height, width, channels).
        precision: 1 to 16 bits, within int16.
        scale: float32 (1,) or (channels,), positive.
        zero_point: float32 (1,) or (channels,); it does not need to be whole.
        rounding: ``even`` (halves to even) or ``up`` (``floor(v + 0.5)``).
        multiplied: True: the formulas have ``x * scale`` instead of ``x / scale``; float32 rounds a
            product and a quotient differently.
    """

    shape: Shape
    precision: Precision
    scale: NDArray[np.float32]
    zero_point: NDArray[np.float32]
    rounding: Literal["even", "up"] = "even"
    multiplied: bool = False

    def __post_init__(self) -> None:
        _check_shape(self.shape)
        if type(self.multiplied) is not bool:
            raise ProgramError(f"multiplied must be true or false, not {self.multiplied!r}")
        if self.rounding not in ("even", "up"):
            raise ProgramError(f"input rounding must be even or up, not {self.rounding!r}")
        for name in ("scale", "zero_point"):
            value = np.array(getattr(self, name), dtype=np.float32).reshape(-1)
            if value.size not in (1, self.shape[-1]) or not np.isfinite(value).all():
                raise ProgramError(f"input {name} must be 1 or {self.shape[-1]} finite numbers")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if not (self.scale > 0).all():
            raise ProgramError("input scale must be positive")

    def check(self, array: Any) -> NDArray[np.int16]:
        """Return the integers, int16 (N, *shape), of real values (N, *shape).

        Raises:
            InputError: ``array`` has another shape, no real numbers, or NaN.
        """
        batch = check_batch(array, self.shape)
        if not (np.issubdtype(batch.dtype, np.floating) or np.issubdtype(batch.dtype, np.integer)):
            raise InputError(f"the model takes real numbers, these are {batch.dtype}")
        if np.isnan(batch).any():
            raise InputError("inputs contain NaN")
        return self.quantized(batch)

    def quantized(self, batch: NDArray[Any]) -> NDArray[np.int16]:
        """Return the integers of :attr:`precision`, int16, of numbers (..., channels)."""
        with np.errstate(over="ignore"):  # what float32 cannot hold is clipped below
            scaled = np.multiply if self.multiplied else np.divide
            real: NDArray[np.float32] = scaled(batch.astype(np.float32), self.scale)
            real = real + self.zero_point
        if self.precision == BIPOLAR:
            return np.where(real >= 0, 1, -1).astype(np.int16)
        real = np.clip(real, np.float32(self.precision.low), np.float32(self.precision.high))
        whole = np.rint(real) if self.rounding == "even" else np.floor(real + np.float32(0.5))
        return np.minimum(whole, self.precision.high).astype(np.int16)

    def integers(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Return checked inputs (N, *shape) unchanged: they are integers already."""
        return batch


Input = PictureInput | IntegerInput | RealInput


def ready(given: Input, batch: Any) -> NDArray[Any]:
    """Return ``batch`` after checking that ``given.check`` can have returned it.

    Every runtime calls this function first.

    Args:
        given: the program's input.
        batch: uint8 (N, height, width, channels) for pictures, else integers (N, *shape) of the
            input's precision.

    Returns:
        ``batch`` itself for pictures; for other inputs ``batch`` as int16.

    Raises:
        InputError: ``batch`` has another shape or type, or values outside the precision.
    """
    if isinstance(given, PictureInput):
        return given.check(batch)
    array = check_batch(batch, given.shape)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"a runtime takes {given.precision} integers, these are {array.dtype}; give what "
            "program.input.check returns"
        )
    if not given.precision.allows(array):
        raise InputError(
            f"input values are outside {given.precision.range_text}; give what "
            "program.input.check returns"
        )
    return array.astype(np.int16, copy=False)


def random_batch(given: Input, images: int) -> NDArray[Any]:
    """Return random inputs (N, *shape) as runtimes take them, always the same ones."""
    random = np.random.default_rng(0)
    shape = (images, *given.shape)
    if isinstance(given, PictureInput):
        return random.integers(0, 256, shape).astype(np.uint8)
    precision = given.precision
    if precision == BIPOLAR:
        return (2 * random.integers(0, 2, shape) - 1).astype(np.int16)
    return random.integers(precision.low, precision.high + 1, shape).astype(np.int16)


def identity_table() -> NDArray[np.int16]:
    """Return the table int16 (256,) of a ``uint8`` picture input: the integer of byte p is p."""
    return np.arange(256, dtype=np.int16)


def sign_table() -> NDArray[np.int16]:
    """Return the table int16 (256,) of LFC: +1 for bytes of 128 or more, else -1.

    Source: specification, section 4.
    """
    return np.where(np.arange(256) >= 128, 1, -1).astype(np.int16)


def fixed_point_table() -> NDArray[np.int16]:
    """Return the table int16 (256,) of CNV: byte p becomes 2p/255 - 1 in fixed point.

    The integers have 8 bits, 7 of them fractional. Source: specification, section 4.
    """
    byte = np.arange(256)
    return np.where(byte <= 127, byte - 128, np.minimum(byte - 127, 127)).astype(np.int16)
