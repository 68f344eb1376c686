# SPDX-License-Identifier: BSD-3-Clause
"""Small networks of LSTM-PYNQ: random numbers, their header, and the original's rules in plain
Python integers, written from their description and sharing nothing with the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, tanh
from pathlib import Path
from typing import Any

import numpy as np

GATES = ("i", "f", "o", "c")
SIGMOID = [2 * round(64 / (1 + exp(5 - k / 25.5))) for k in range(256)]
TANH = [round(64 * tanh(-3 + k / 42.5)) for k in range(256)]


@dataclass(frozen=True)
class Small:
    """Raw integers of a plain network.

    Attributes:
        w: (direction, gate, unit, pixel or hidden value); b: (direction, gate, unit, two biases).
        wfc: (direction, class, unit); bfc: (direction, class).
    """

    weight_bits: int
    bits: int
    pe: int
    simd_input: int
    simd_recurrent: int
    w: Any
    b: Any
    wfc: Any
    bfc: Any

    @property
    def units(self) -> int:
        return int(self.w.shape[2])

    @property
    def rows(self) -> int:
        return int(self.w.shape[3]) - self.units


def small(seed: int, weight_bits: int, bits: int, large: bool = False) -> Small:
    """A random network of 6 rows, 4 units and 5 classes; ``large``: weights at their ends."""
    random = np.random.default_rng(seed)
    rows, units, classes = 6, 4, 5

    def draw(bits: int, *shape: int) -> Any:
        half = 1 << (bits - 1)
        if large:
            return random.choice([-half, half - 1], shape)
        return random.integers(-half, half, shape)

    return Small(
        weight_bits,
        bits,
        int(random.choice([1, 2, 4])),
        int(random.choice([1, 2, 3, 6])),
        int(random.choice([1, 2, 4])),
        draw(weight_bits, 2, 4, units, rows + units),
        draw(8, 2, 4, units, 2),
        draw(8, 2, classes, units),
        draw(8, 2, classes),
    )


def _array(name: str, bits: int, values: Any) -> str:
    codes = np.asarray(values) & ((1 << bits) - 1)

    def text(part: Any) -> str:
        if part.ndim == 0:
            return f"0x{int(part):x}"
        return "{ " + ", \n".join(text(each) for each in part) + "\n}\n"

    sizes = "".join(f"[{size}]" for size in codes.shape)
    return f"const ap_uint<{bits}> {name} {sizes} = {text(codes)};\n\n"


def header(net: Small) -> str:
    """The header of a network, folded as the original folds it."""
    units, rows, classes = net.units, net.rows, net.bfc.shape[1]
    lines = {
        "PE": net.pe,
        "SIMD_INPUT": net.simd_input,
        "SIMD_RECURRENT": net.simd_recurrent,
        "NUMBER_OF_NEURONS": units,
        "NUMBER_OF_NEURONS_TYPEWIDTH": "8+1",
        "HEIGHT_IN_PIX": rows,
        "NUMBER_OF_CLASSES": classes,
        "PIXELWIDTH": net.bits,
        "WEIGHTWIDTH": net.weight_bits,
        "BIASWIDTH": 8,
        "FCWEIGHTWIDTH": 8,
        "FCBIASWIDTH": 8,
        "OUTPUTACTIVATIONHIDDENLAYERWIDTH": f"{net.bits} ",
        "OUTPUTACTIVATIONOUTPUTLAYERWIDTH": 16,
    }
    arrays = {"wfc": (8, net.wfc.transpose(2, 0, 1).reshape(units, 2 * classes))}
    arrays["bfc"] = (8, net.bfc.reshape(1, 2 * classes))
    for place, gate in enumerate(GATES):
        letters = "ci" if gate == "c" else f"g{gate}"
        for part, first, count, simd in (
            ("ih", 0, rows, net.simd_input),
            ("hh", rows, units, net.simd_recurrent),
        ):
            folded = np.zeros((simd, count // simd, net.pe, 2 * units // net.pe), np.int64)
            for s, f, p, q in np.ndindex(folded.shape):
                direction, unit = divmod(q, units // net.pe)
                where = first + f * simd + s
                folded[s, f, p, q] = net.w[direction, place, unit * net.pe + p, where]
            arrays[f"w{letters}_{part}"] = (net.weight_bits, folded)
        for number, part in enumerate(("ih", "hh")):
            flat = np.zeros((net.pe, 2 * units // net.pe), np.int64)
            for p, q in np.ndindex(flat.shape):
                direction, unit = divmod(q, units // net.pe)
                flat[p, q] = net.b[direction, place, unit * net.pe + p, number]
            arrays[f"b{letters}_{part}"] = (8, flat)
    text = "#pragma once\n" + "".join(f"#define {name} {value}\n" for name, value in lines.items())
    for name, (bits, _) in arrays.items():
        text += f"typedef ap_fixed<{bits} , 1, AP_RND_ZERO, AP_WRAP> t_fixed_{name};\n"
    return text + "".join(_array(name, bits, values) for name, (bits, values) in arrays.items())


def write(net: Small, folder: Path) -> Path:
    """Write a header and its alphabet; returns the header's path."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = ["", *"abcdefghijklmnop"][: net.bfc.shape[1]]
    (folder / "alphabet.txt").write_text("".join(f"{each}\n" for each in alphabet))
    path = folder / "r_model_fw_bw.hpp"
    path.write_text(header(net))
    return path


# --- the original's arithmetic ------------------------------------------------------------------


def nearest(value: int, shift: int, ties: str) -> int:
    """``value / 2**shift`` to the nearest integer; ties to zero or to even."""
    if shift <= 0:
        return value << -shift
    unit = 1 << shift
    down, rest = divmod(value, unit)
    if 2 * rest != unit:
        return down + (2 * rest > unit)
    if ties == "even":
        return down + down % 2
    return down if down >= 0 else down + 1


def saturated(value: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


def wrapped(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def entry(value: int, limit: int, factor: int) -> int:
    if value <= -limit:
        return 0
    return 255 if value >= limit else (value + limit) * factor // 512


def class_sums(net: Small, columns: Any) -> list[list[int]]:
    """The class sums of every column."""
    sums = []
    for direction in (0, 1):
        visited = columns if direction == 0 else columns[::-1]
        made = [_sums(net, direction, hidden) for hidden in _hidden(net, direction, visited)]
        sums.append(made if direction == 0 else made[::-1])
    return [
        [wrapped(one + two, 16) for one, two in zip(*both, strict=True)]
        for both in zip(*sums, strict=True)
    ]


def _hidden(net: Small, direction: int, columns: Any) -> list[list[int]]:
    hidden, cell, every = [0] * net.units, [0] * net.units, []
    shift = (net.bits - 1) + (net.weight_bits - 1) - 8
    for number, column in enumerate(columns):
        inputs = [*map(int, column), *hidden]
        hidden = []
        for unit in range(net.units):
            sums = []
            for gate in range(4):
                weights = net.w[direction, gate, unit].tolist()
                total = 2 * int(net.b[direction, gate, unit].sum())
                for weight, value in zip(weights, inputs, strict=True):
                    total += nearest(weight * value, shift, "zero")
                sums.append(wrapped(total, 16))
            i, f, o = (SIGMOID[entry(each, 1280, 51)] for each in sums[:3])
            new = saturated(nearest(TANH[entry(sums[3], 768, 85)] * i, 5, "even"), 16)
            if number > 0:
                new = saturated(new + saturated(nearest(f * cell[unit], 7, "even"), 16), 16)
            cell[unit] = new
            product = TANH[entry(new, 768, 85)] * o
            hidden.append(saturated(nearest(product, 14 - net.bits, "even"), net.bits))
        every.append(hidden)
    return every


def _sums(net: Small, direction: int, hidden: list[int]) -> list[int]:
    made = []
    for weights, bias in zip(net.wfc[direction].tolist(), net.bfc[direction].tolist(), strict=True):
        products = (
            nearest(w * h, net.bits - 2, "even") for w, h in zip(weights, hidden, strict=True)
        )
        made.append(wrapped(2 * bias + sum(products), 16))
    return made


# --- the original's label maker -----------------------------------------------------------------


def text_of(values: list[list[int]], keeps_blank: bool) -> list[int]:
    """Classes of a line, from the values of its columns (an even number of them)."""
    count = len(values)
    labels, tops, last = [0] * count, [0] * count, 0
    middle = count // 2
    order = [middle]
    for distance in range(1, middle + 1):
        order += [middle - distance, middle + distance]
    for column in order:
        if column >= count:
            continue
        top = 0
        for k, value in enumerate(values[column]):
            if value > top:
                top, last = value, k
        labels[column], tops[column] = last, top
        if not keeps_blank and last == 0:
            tops[column] = 0
    found, label, value = [], 0, 0
    for one, top in zip(labels, tops, strict=True):
        if keeps_blank:
            if one == 0:
                found += [label] if label else []
                label, value = 0, top
            elif label == 0 or top > value:
                label, value = one, top
        elif top > value:
            label, value = one, top
        elif label != 0 and one == 0:
            found.append(label)
            label, value = one, top
    return found
