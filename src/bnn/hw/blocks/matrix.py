# SPDX-License-Identifier: BSD-3-Clause
"""The matrix-vector-threshold unit: how weights, inputs and thresholds become bits.

The circuit adds population counts of bit-planes (see ``bnn_dot_planes.sv``). Let A be this sum,
computed from the *codes* of the inputs. The accumulator of a row is then ``acc = alpha * A +
beta[row]``, where beta also contains the program's bias:

========================= ======= ===== ==============================================
weights, inputs           op      alpha beta without the program's bias
========================= ======= ===== ==============================================
bipolar, bipolar          XNOR    2     -(number of columns)
bipolar, unsigned b bits  XNOR    1     -(2^b - 1) * (number of -1 weights)
bipolar, signed           XNOR    1     +(number of -1 weights)
other, bipolar            AND     2     -(sum of weights)
other, other              AND     1     0
========================= ======= ===== ==============================================

The reason: for bits x_i in {0, 1} and bipolar weights w_i, ``sum_i w_i x_i = popcount(XNOR) - n``,
where n is the number of -1 weights. This holds for each bit-plane of the inputs. Plane j has the
factor 2^j; the top plane of a signed number has the factor -2^j. The sum of the factors is 2^b - 1
for unsigned inputs, and -1 for signed inputs. The circuit does not compute acc. It compares A with
other thresholds: ``T <= acc`` is true if and only if ``ceil((T - beta)/alpha) <= A``. The weights
of padding columns add 0 to A, because their inputs have code 0. If inputs of more than 2 bits are
summed in pairs (``bnn_dot_adder_chain.sv``), A is larger by 1 for each pair whose first weight is
-1; ternary products (``bnn_ternary.sv``) make A larger by 2 per column. beta is reduced by as much.

A ternary weight is half the sum of two bipolar weights: (1, 1), (1, -1) or (-1, -1). If inputs have
more than 2 bits and thresholds follow, the circuit has these two weights for the same input.
Everything above then holds with twice the accumulator and twice the threshold.
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
#: Most columns for which one stage of counters is enough; ternary products have three times
#: the bits to count.
_STEP, _TERNARY_STEP = 144, 48
#: Most columns whose numbers a chain of adders sums.
_MAX_CHAIN = 16


@dataclass(frozen=True)
class Contents:
    """Contents of the two memories of a matrix unit.

    Attributes:
        weights: words [row fold * SF + column fold][PE], where SF is the number of column folds.
        thresholds: words [row fold][PE]; each word has the thresholds (or the bias) of one row.
    """

    weights: list[list[int]]
    thresholds: list[list[int]]


@dataclass(frozen=True)
class Matrix:
    """``bnn_matrix``: dot products, and the thresholds (or the bias) that follow them.

    Attributes:
        rows, columns: size of the matrix, padding rows and columns included.
        positions: input vectors per image.
        pe, simd: rows and columns per cycle; ``pe`` divides ``rows``, ``simd`` divides ``columns``.
        pixels: positions per cycle (a group); all are multiplied by the same weights.
        weight, source: precisions of the weights and of the inputs.
        thresholds: how the circuit turns an accumulator into an output code.
        depth: requested words of the output FIFO, see :attr:`fifo_depth`.
        loadable: whether parameters are written at run time; else they are constants.
        style: memory style of the weights (``auto``, ``block``, ``distributed``).
        taps: 1 if the columns of the input stream are in the program's order. If the inputs come
            from :class:`bnn.hw.blocks.patches.Patches`, the number of kernel positions: each input
            word then has some channels of every kernel position.
        input_style: memory style of the buffer that keeps the input words for the next row folds; a
            chip without RAM in LUTs needs ``auto``.
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
        """Number of row folds (NF): rows / PE."""
        return self.rows // self.pe

    @property
    def column_folds(self) -> int:
        """Number of column folds (SF): columns / SIMD."""
        return self.columns // self.simd

    @property
    def groups(self) -> int:
        """Number of groups per image: positions / pixels, rounded up."""
        return -(-self.positions // self.pixels)

    @property
    def cycles(self) -> int:
        """Cycles per image if neither the input nor the output stream stalls."""
        return self.groups * self.row_folds * self.column_folds

    @property
    def latency(self) -> int:
        """Cycles from the last input word of a result until the output FIFO contains the result."""
        if self.summed:
            lane = max(1, (self.lanes - 1) // 2)
        else:
            lane = self.stages
            if not self.ternary:
                lane += (self.source.bits > 1) + (self.weight.bits > 1 and not self.xnor)
        return 1 + lane + 1 + (1 if self.thresholds.count == 1 else 2)

    @property
    def fifo_depth(self) -> int:
        """Words of the output FIFO: ``depth``, but at least what one result per cycle needs."""
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
        """Whether each ternary weight is stored as two bipolar weights."""
        return splits_ternary(self.weight, self.source, self.thresholds.count)

    @property
    def lanes(self) -> int:
        """Stored weights that a row uses per cycle: SIMD, or 2 * SIMD if :attr:`halved`."""
        return self.simd * (1 + self.halved)

    @property
    def xnor(self) -> bool:
        """Whether the stored weights are bipolar."""
        return self.weight.kind == "bipolar" or self.halved

    @property
    def stages(self) -> int:
        """Cycles that a population count takes: 1, 3 or 4; has no meaning if :attr:`summed`."""
        step = _TERNARY_STEP if self.ternary else _STEP
        return 1 if self.lanes <= _FLAT else 3 if self.lanes <= step else 4

    @property
    def triples(self) -> int:
        """Number T of triples that the lanes are counted in; 0 if they are counted one by one.

        Lane i makes a triple with lane i + T and, if it exists, lane i + 2 T. The memory has the
        parity of the triple's weights instead of the third weight (``bnn_xnor_popcount.sv``).
        """
        return -(-self.lanes // 3) if self.xnor and self.stages > 1 and not self.summed else 0

    @property
    def summed(self) -> bool:
        """Whether inputs are added as numbers (``bnn_dot_adder_chain.sv``), not as bit-planes."""
        return self.xnor and sums_pay(self.source) and self.lanes <= _MAX_CHAIN

    @property
    def ternary(self) -> bool:
        """Whether the circuit counts ternary products (``bnn_ternary.sv``), not bit-planes."""
        return ternary_pays(self.weight, self.source)

    @property
    def weight_word_bits(self) -> int:
        """Bits of the weights that one PE reads per cycle."""
        return self.simd * self.weight.bits

    @property
    def synapses(self) -> int:
        """Number of products of one weight bit and one input bit per cycle."""
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
        """Return the words of both memories; ``threshold`` follows ``dot``, None: only a bias."""
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
        """Return the codes (rows, columns) of all weights; columns are in the stream's order.

        If :attr:`halved`, every weight becomes two codes, so there are twice as many columns. The
        weights of padding columns have code 1 if :attr:`xnor`, else code 0: they add 0 to the sum,
        because their inputs have code 0.
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
        """For each column of the stream, in its order: the column's index in the program."""
        lanes = self.simd // self.taps
        numbers = np.arange(self.columns).reshape(self.taps, -1, lanes)
        return numbers.transpose(1, 0, 2).reshape(-1)

    def golden(self, words: Words, dot: Dot, threshold: Threshold | None) -> list[int]:
        """Return the expected output words for ``words``, the input words of an image.

        They are computed with :mod:`bnn.program.semantics` from ``dot`` and ``threshold``.
        """
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
    """Return alpha and beta (rows,) of the table at the top of this module, with the bias.

    ``halved``: return them for twice the accumulator, see :attr:`Matrix.halved`.
    """
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
    """Return the width in bits, minimum and maximum that the sum A has over all weights.

    Args:
        columns: columns of the matrix, padding included.
        weight, source: precisions of the weights and of the inputs.
        thresholds: number of thresholds per channel after the sum; 0: none.
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
    """Return whether adding inputs as numbers takes fewer cells than counting bit-planes."""
    return source.bits > 2


def splits_ternary(weight: Precision, source: Precision, thresholds: int) -> bool:
    """Return whether ``weight`` is ternary and each weight is stored as two bipolar weights."""
    return weight == TERNARY and sums_pay(source) and thresholds > 0


def ternary_pays(weight: Precision, source: Precision) -> bool:
    """Return whether counting ternary products takes fewer cells than counting bit-planes."""
    return weight == source == TERNARY


def _code_bounds(precision: Precision) -> tuple[int, int]:
    """Return the least and the largest number that the precision's bits can express.

    They may be outside the precision: -4 for three bits of kind ``narrow``.
    """
    if _signed(precision):
        return -(1 << (precision.bits - 1)), (1 << (precision.bits - 1)) - 1
    return 0, (1 << precision.bits) - 1
