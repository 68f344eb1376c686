# SPDX-License-Identifier: BSD-3-Clause
"""The matrix-vector-threshold unit: how weights, inputs and thresholds become bits.

The circuit sums population counts of bit planes (see ``bnn_dot_planes.sv``). With x the *code* of
an input and A that sum, a row's accumulator is ``acc = alpha * A + beta[row]``:

========================= ======= ===== ==============================================
weights, inputs           op      alpha beta, added to the program's own bias
========================= ======= ===== ==============================================
bipolar, bipolar          XNOR    2     -(number of columns)
bipolar, unsigned b bits  XNOR    1     -(2^b - 1) * (number of -1 weights)
bipolar, signed           XNOR    1     +(number of -1 weights)
other, bipolar            AND     2     -(sum of weights)
other, other              AND     1     0
========================= ======= ===== ==============================================

Because ``sum_i w_i x_i = popcount(XNOR) - #{w = -1}`` for x in {0, 1}, plane by plane, the planes'
weights being 2^j, and -2^j at the top of a signed number: together 2^b - 1, or -1.
So thresholds are moved, ``T <= acc`` iff ``ceil((T - beta) / alpha) <= A``, and the circuit
never sees a sign. Pad columns hold weights that count nothing against inputs of code 0.
Where inputs of more than 2 bits are summed in pairs (``bnn_dot_adder_chain.sv``), A has a one more
for each pair that a -1 leads; ternary products (``bnn_ternary.sv``) add 2 for each column. That too
moves into beta.

A ternary weight is half the sum of two bipolar ones, (1, 1), (1, -1) or (-1, -1). Against inputs of
more than 2 bits, and where thresholds follow, it is these two against the same input, and all of
the above holds for twice the accumulator and twice the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bnn.hw.blocks.block import Generic, Words
from bnn.hw.blocks.thresholds import Thresholds, least_signed_bits
from bnn.hw.blocks.words import pack_rows, unpack_rows
from bnn.program import semantics
from bnn.program.operations import Dot, Threshold
from bnn.program.precision import BIPOLAR, TERNARY, Precision

# Up to how many columns each form of the pipeline is used: decided here, given to bnn_matrix as
# STAGES and SUMS, and read from there by the cost model.
#: Most columns that are counted in one step.
_FLAT = 6
#: Most columns of which all that is left after one step of counters is added in one step;
#: ternary products give three times the bits to count.
_STEP, _TERNARY_STEP = 144, 48
#: Most columns whose numbers a chain of adders sums.
_MAX_CHAIN = 16


@dataclass(frozen=True)
class Contents:
    """Contents of a unit's memories.

    Attributes:
        weights: words [row fold * SF + column fold][PE].
        thresholds: words [row fold][PE].
    """

    weights: list[list[int]]
    thresholds: list[list[int]]


@dataclass(frozen=True)
class Matrix:
    """``bnn_matrix``: dot products and what is done with them.

    Attributes:
        rows, columns: padded; ``pe`` divides the rows and ``simd`` the columns.
        positions: vectors of an image; ``pixels`` of them share each weight read.
        weight, source: precisions.
        thresholds: what follows the accumulator.
        depth: words of the output FIFO, at least what hides the pipeline's latency.
        loadable: whether parameters are written at run time; else they are constants.
        style: memory style of the weights (``auto``, ``block``, ``distributed``).
        input_style: memory style of the inputs that are kept for later row folds; a chip without
            RAM in LUTs needs ``auto``.
        taps: kernel positions, where columns come slice of channels by slice, all taps of a slice
            together (:class:`bnn.hw.blocks.patches.Patches`); 1: they come in the program's order.
    """

    module: ClassVar[str] = "bnn_matrix"
    has_fill: ClassVar[bool] = True
    rows: int
    columns: int
    positions: int
    pe: int
    simd: int
    pixels: int
    weight: Precision
    source: Precision
    thresholds: Thresholds
    depth: int = 0
    loadable: bool = False
    style: str = "auto"
    name: str = "matrix"
    taps: int = 1
    input_style: str = "distributed"

    @property
    def row_folds(self) -> int:
        """NF: rows / PE."""
        return self.rows // self.pe

    @property
    def column_folds(self) -> int:
        """SF: columns / SIMD."""
        return self.columns // self.simd

    @property
    def groups(self) -> int:
        """Number of groups of positions per image."""
        return -(-self.positions // self.pixels)

    @property
    def cycles(self) -> int:
        """Cycles per image if neither side stalls."""
        return self.groups * self.row_folds * self.column_folds

    @property
    def latency(self) -> int:
        """Cycles from the last input word's issue to the result's entry in the FIFO."""
        if self.summed:
            lane = max(1, (self.lanes - 1) // 2)
        else:
            lane = self.stages
            if not self.ternary:
                lane += (self.source.bits > 1) + (self.weight.bits > 1 and not self.xnor)
        return 1 + lane + 1 + (1 if self.thresholds.count == 1 else 2)

    @property
    def fifo_depth(self) -> int:
        """Words of the output FIFO: enough for a result every cycle."""
        return max(self.depth, self.latency + 4)

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.pixels * self.pe * self.thresholds.bits

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.groups * self.row_folds

    @property
    def halved(self) -> bool:
        """Whether each weight is counted as two bipolar ones."""
        return splits_ternary(self.weight, self.source, self.thresholds.count)

    @property
    def lanes(self) -> int:
        """Columns that are counted per cycle: SIMD, or twice as many halves."""
        return self.simd * (1 + self.halved)

    @property
    def xnor(self) -> bool:
        """Whether weights are bipolar, or halves that are."""
        return self.weight.kind == "bipolar" or self.halved

    @property
    def stages(self) -> int:
        """Cycles of a population count: 1, 3 or 4; of no effect where inputs are summed."""
        step = _TERNARY_STEP if self.ternary else _STEP
        return 1 if self.lanes <= _FLAT else 3 if self.lanes <= step else 4

    @property
    def triples(self) -> int:
        """Triples of columns whose third weight is stored as their parity; 0: none.

        See ``bnn_xnor_popcount.sv``: column i makes a triple with i + T and, if any, i + 2 T.
        """
        return -(-self.lanes // 3) if self.xnor and self.stages > 1 and not self.summed else 0

    @property
    def summed(self) -> bool:
        """Whether inputs are added as numbers (``bnn_dot_adder_chain.sv``), not as bit planes."""
        return self.xnor and sums_pay(self.source) and self.lanes <= _MAX_CHAIN

    @property
    def ternary(self) -> bool:
        """Whether products are of -1, 0 and 1 (``bnn_ternary.sv``), not of bit planes."""
        return ternary_pays(self.weight, self.source)

    @property
    def weight_word_bits(self) -> int:
        """Bits of the weight word of one PE."""
        return self.simd * self.weight.bits

    @property
    def synapses(self) -> int:
        """Number of bit products per cycle."""
        return self.pe * self.simd * self.pixels * self.weight.bits * self.source.bits

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {
            "PE": self.pe,
            "SIMD": self.simd,
            "NF": self.row_folds,
            "SF": self.column_folds,
            "PIXELS": self.pixels,
            "WBITS": self.weight.bits,
            "ABITS": self.source.bits,
            "XNOR": int(self.xnor),
            "WSIGNED": int(_signed(self.weight) and not self.xnor),
            "ASIGNED": int(_signed(self.source)),
            "TERNARY": int(self.ternary),
            "SUMS": int(self.summed),
            "STAGES": self.stages,
            **self.thresholds.generics(),
            "DEPTH": self.fifo_depth,
            "LOADABLE": int(self.loadable),
            "WFILE": "" if self.loadable else f"{self.name}_weights.mem",
            "TFILE": "" if self.loadable else f"{self.name}_thresholds.mem",
            "WSTYLE": self.style,
            "XSTYLE": self.input_style,
        }

    def contents(self, dot: Dot, threshold: Threshold | None) -> Contents:
        """Return the words of the parameter memories, from one layer of a program."""
        codes = self._codes(dot)
        planes = codes[:, :, None] >> np.arange(1 if self.xnor else self.weight.bits) & 1
        # (nf, pe, sf, lane, plane) -> (nf, sf, pe, plane, lane): lanes fastest
        split = planes.reshape(
            self.row_folds, self.pe, self.column_folds, self.lanes, -1
        ).transpose(0, 2, 1, 4, 3)
        if self.triples:
            third = 2 * self.triples
            whole = self.lanes - third
            split[..., third:] ^= split[..., :whole]
            split[..., third:] ^= split[..., self.triples : self.triples + whole]
        flat = pack_rows(split.reshape(-1, self.weight_word_bits), 1)
        weights = [flat[at : at + self.pe] for at in range(0, len(flat), self.pe)]
        alpha, beta = correction(dot, self.source, halved=self.halved)
        if self.summed:
            # A one for each pair of columns (an odd SIMD begins with a single) led by weight -1.
            folds = codes.reshape(self.rows, self.column_folds, self.lanes)
            leaders = folds[..., self.lanes % 2 :: 2]
            beta = beta - alpha * (leaders == 0).sum(axis=(1, 2))[: len(beta)]
        if self.ternary:
            beta = beta - 2 * self.columns
        words = self.thresholds.words(
            threshold,
            alpha,
            beta,
            self.rows,
            scale=1 + self.halved,
            negative=self.thresholds.count == 1,
        )
        thresholds = [words[at : at + self.pe] for at in range(0, len(words), self.pe)]
        return Contents(weights, thresholds)

    def _codes(self, dot: Dot) -> NDArray[np.int64]:
        """Return the codes of all weights in stream order; of both halves if weights are halved.

        Pad columns count nothing against inputs of code 0: ones for an XNOR, else zeros.
        """
        rows, columns = dot.weights.shape
        values = np.full((self.rows, self.columns), int(self.xnor), np.int64)
        values[:rows, :columns] = dot.weights
        values = values[:, self._order]
        if self.halved:  # the first half is 1 unless both are -1
            halves = np.stack([values >= 0, values > 0], axis=2).astype(np.int64)
            return halves.reshape(self.rows, -1)
        return self.weight.encode(values).astype(np.int64)

    @property
    def _order(self) -> NDArray[np.int64]:
        """The program's index of each column, in the order in which the stream has the columns."""
        lanes = self.simd // self.taps
        numbers = np.arange(self.columns).reshape(self.taps, -1, lanes)
        return numbers.transpose(1, 0, 2).reshape(-1)

    def golden(self, words: Words, dot: Dot, threshold: Threshold | None) -> list[int]:
        """Return the expected output words for an image's input words, as the program defines."""
        wide = unpack_rows(words, self.source.bits, self.pixels * self.simd)
        folds = wide.reshape(self.groups, self.column_folds, self.pixels, self.simd)
        vectors = folds.transpose(0, 2, 1, 3).reshape(-1, self.columns)
        vectors = vectors[:, np.argsort(self._order)][:, : dot.weights.shape[1]]
        values = self.source.decode(vectors).astype(np.int64)[None, None]
        acc = semantics.dot(values, dot, 1 << self.source.bits)
        if threshold is None:
            codes = acc[0, 0] & (1 << self.thresholds.bits) - 1
        else:
            codes = threshold.precision.encode(semantics.threshold(acc, threshold)[0, 0])
            codes = codes.astype(np.int64)
        rows = np.zeros((len(codes), self.rows), np.int64)
        rows[:, : codes.shape[1]] = codes
        rows[:, codes.shape[1] :] = self.thresholds.pad_code
        out = rows.reshape(self.groups, self.pixels, self.row_folds, self.pe)
        flat = out.transpose(0, 2, 1, 3).reshape(self.output_words, self.pixels * self.pe)
        return pack_rows(flat, self.thresholds.bits)


def _signed(precision: Precision) -> bool:
    return precision.kind in ("signed", "narrow")


def correction(
    dot: Dot, source: Precision, *, halved: bool = False
) -> tuple[int, NDArray[np.int64]]:
    """Return (alpha, beta) of the module's table; with ``halved`` of twice the accumulator."""
    weights = dot.weights.astype(np.int64)
    scale = 1 + halved
    bipolar_source = source.kind == "bipolar"
    if halved or dot.precision.kind == "bipolar":
        planes = -1 if _signed(source) else (1 << source.bits) - 1
        columns = weights.shape[1] * scale
        # Each weight, or each half of it, that is not 1 takes 2 off the sum.
        negative = (columns - scale * weights.sum(axis=1)) // 2
        beta = np.full(len(weights), -columns) if bipolar_source else -negative * planes
    else:
        beta = -weights.sum(axis=1) if bipolar_source else np.zeros(len(weights), np.int64)
    if dot.bias is not None:
        beta = beta + scale * dot.bias
    return 2 if bipolar_source else 1, beta.astype(np.int64)


def accumulator_bits(
    columns: int, weight: Precision, source: Precision, thresholds: int = 0
) -> tuple[int, int, int]:
    """Return the width, minimum and maximum of A over all weights and inputs of these precisions.

    Args:
        thresholds: thresholds that follow; 0: none.
    """
    if ternary_pays(weight, source):
        return least_signed_bits(columns, 3 * columns + 1), columns, 3 * columns
    if splits_ternary(weight, source, thresholds):
        weight, columns = BIPOLAR, 2 * columns
    low, high = (0, 1) if source.kind == "bipolar" else _code_bounds(source)
    if weight.kind != "bipolar":
        least, most = _code_bounds(weight)
        products = [a * b for a in (low, high) for b in (least, most)]
        low, high = min(0, *products), max(0, *products)
    low, high = low * columns, high * columns
    if weight.kind == "bipolar" and sums_pay(source):
        high += columns // 2
    return least_signed_bits(low, high + 1), low, high


def sums_pay(source: Precision) -> bool:
    """Return whether adding inputs as numbers takes fewer cells than counting XNORs of planes."""
    return source.bits > 2


def splits_ternary(weight: Precision, source: Precision, thresholds: int) -> bool:
    """Return whether ternary weights are stored as two bipolar ones; then thresholds double."""
    return weight == TERNARY and sums_pay(source) and thresholds > 0


def ternary_pays(weight: Precision, source: Precision) -> bool:
    """Return whether products are made before they are counted."""
    return weight == source == TERNARY


def _code_bounds(precision: Precision) -> tuple[int, int]:
    """Return the least and the largest number of the bits, as if all codes were legal."""
    if _signed(precision):
        return -(1 << (precision.bits - 1)), (1 << (precision.bits - 1)) - 1
    return 0, (1 << precision.bits) - 1
