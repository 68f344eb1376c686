# SPDX-License-Identifier: BSD-3-Clause
# Signatures of native/bindings.cpp; a test holds the names equal.
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Pair: TypeAlias = tuple[int, int]
_Borders: TypeAlias = tuple[int, int, int, int]

def cpu_features() -> list[str]: ...
def kernels() -> list[tuple[str, str, bool]]: ...
def limits() -> list[tuple[str, str, float]]: ...
def memory_bandwidth() -> float: ...

_Bits: TypeAlias = NDArray[np.uint16]  # of bfloat16
_Codes: TypeAlias = NDArray[np.int8]
_Sums: TypeAlias = NDArray[np.int16]
_Reals: TypeAlias = NDArray[np.float32]
_Quantizer: TypeAlias = tuple[float, float, bool, bool]

def norm_act_forward(
    x: _Bits | _Sums,
    gamma: _Reals,
    beta: _Reals,
    epsilon: float,
    quantizer: _Quantizer,
    y: _Bits | _Codes,
    mean: _Reals,
    inv_std: _Reals,
    variance: _Reals,
    threads: int,
    /,
) -> None: ...
def norm_act_backward(
    grad: _Bits,
    x: _Bits | _Sums,
    gamma: _Reals,
    beta: _Reals,
    mean: _Reals,
    inv_std: _Reals,
    quantizer: _Quantizer,
    grad_x: _Bits,
    grad_gamma: _Reals,
    grad_beta: _Reals,
    threads: int,
    /,
) -> None: ...
def pool_forward(x: _Bits | _Sums | _Codes, y: _Bits | _Sums | _Codes, threads: int, /) -> None: ...
def pool_backward(
    grad: _Bits,
    x: _Bits | _Sums | _Codes,
    y: _Bits | _Sums | _Codes,
    grad_x: _Bits,
    threads: int,
    /,
) -> None: ...
def lut_kernel() -> str: ...
def correlate(
    x: _Codes, weights: _Codes, padding: _Borders, bipolar: bool, y: _Sums, threads: int, /
) -> None: ...
def correlate_back(
    grad: _Bits,
    weights: _Codes,
    padding: _Borders,
    bipolar: bool,
    seed: int,
    grad_x: _Bits,
    threads: int,
    /,
) -> None: ...
def correlate_weights(
    grad: _Bits,
    x: _Codes,
    padding: _Borders,
    bipolar: bool,
    seed: int,
    grad_weights: _Reals,
    threads: int,
    /,
) -> None: ...
def correlate_first(
    x: _Sums, weights: _Sums, padding: _Borders, y: _Sums, threads: int, /
) -> None: ...
def correlate_first_weights(
    grad: _Bits, x: _Sums, padding: _Borders, grad_weights: _Reals, threads: int, /
) -> None: ...

class Program:
    def __init__(
        self,
        shape: tuple[int, int, int],
        lattice: tuple[int, int, int],
        table: NDArray[np.int16] | None,
    ) -> None: ...
    def window(
        self, source: int, kernel: _Pair, stride: _Pair, padding: _Borders, pad_value: int
    ) -> int: ...
    def dot(
        self,
        source: int,
        weights: NDArray[np.int8] | NDArray[np.int16],
        bias: NDArray[np.int32] | None,
        product_shift: int,
        rounding: int,
    ) -> int: ...
    def depthwise(
        self,
        source: int,
        weights: NDArray[np.int8] | NDArray[np.int16],
        bias: NDArray[np.int32] | None,
    ) -> int: ...
    def threshold(
        self,
        source: int,
        thresholds: NDArray[np.int32],
        signs: NDArray[np.int8] | None,
        base: int,
        step: int,
    ) -> int: ...
    def pool(self, source: int, kernel: _Pair, stride: _Pair, padding: _Borders) -> int: ...
    def add(self, source: int, other: int) -> int: ...
    def concat(self, source: int, other: int) -> int: ...
    def rescale(
        self,
        source: int,
        multipliers: NDArray[np.int32],
        offsets: NDArray[np.int64] | None,
        shift: int,
        rounding: int,
        ends: _Pair,
        wraps: bool,
    ) -> int: ...
    def multiply(self, source: int, other: int) -> int: ...
    def body(self, source: int) -> Program: ...
    def carried(self, channels: int, lattice: tuple[int, int, int]) -> int: ...
    def scan(
        self,
        source: int,
        body: Program,
        carries: list[tuple[int, int, int]],
        result: int,
        reverse: bool,
    ) -> int: ...
    def arg_max(self, source: int, rule: int) -> int: ...

class Plan:
    def __init__(self, program: Program, scores: int, decision: int, kernel: str) -> None: ...
    @property
    def kernel(self) -> str: ...
    @property
    def weight_bytes(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    def steps(self) -> list[tuple[int, str, int, int, str]]: ...
    def time_steps(self, inputs: NDArray[Any]) -> list[float]: ...
    def run(
        self,
        inputs: NDArray[Any],
        scores: NDArray[np.int32],
        decisions: NDArray[np.int64] | None,
        threads: int,
    ) -> None: ...
