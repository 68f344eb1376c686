# SPDX-License-Identifier: BSD-3-Clause
"""The C function of each operation: sizes are literals, so that a compiler can unroll loops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.errors import FormatError
from bnn.formats.c.constants import Planes, array, is_counted, packed, planes_of
from bnn.formats.c.memory import Place, c_type, size_of
from bnn.program.operations import (
    Add,
    ArgMax,
    Concat,
    Dot,
    Edge,
    Multiply,
    Op,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
)
from bnn.program.program import Program


@dataclass(frozen=True)
class Context:
    """What is needed to write the C function of one operation.

    Attributes:
        program: the program that contains the operation.
        number: number of the operation, which is part of the names in C.
        places: name of each edge -> where the edge is stored.
        fused: name -> window, for the windows that have no function of their own, because the dots
            that read them copy each patch when they need it.
    """

    program: Program
    number: int
    places: Mapping[str, Place]
    fused: Mapping[str, Window]

    def edge(self, name: str) -> Edge:
        """Return the edge called ``name``."""
        return self.program.edges[name]

    def type_of(self, name: str) -> str:
        """Return the C type of the values of an edge."""
        edge = self.edge(name)
        return c_type(edge.low, edge.high)


def function(op: Op, context: Context) -> str:
    """Return C text: the constants of an operation, and its function ``opN(sources..., result)``.

    Raises:
        FormatError: no C code can be written yet for operations of this kind.
    """
    match op:
        case Window():
            return _window(op, context)
        case Dot() if op.product_shift:
            raise FormatError(f"{op.name}: --to c does not write rounded products yet")
        case Dot():
            return _dot(op, context)
        case Threshold():
            return _threshold(op, context)
        case Pool():
            return _pool(op, context)
        case Add():
            return _add(op, context)
        case Concat():
            return _concat(op, context)
        case Multiply() | Scan():
            kind = type(op).__name__.lower()
            raise FormatError(f"{op.name}: --to c does not write a {kind} yet")
        case Rescale() if op.overflow == "wrap":
            raise FormatError(f"{op.name}: --to c does not write results that wrap yet")
        case Rescale():
            return _rescale(op, context)
        case ArgMax():
            return _arg_max(op, context)
    assert_never(op)


def _head(context: Context, *sources: tuple[str, str], result: str, to: str = "y") -> str:
    """Return the head of a function: ``static void opN(const T *x, T *y)``."""
    parts = [f"const {context.type_of(edge)} *{name}" for edge, name in sources]
    parts.append(f"{context.type_of(result)} *{to}")
    return f"static void op{context.number}({', '.join(parts)})"


def _gather(op: Window, context: Context, name: str, patch: str) -> str:
    """Return the C function ``name(map, row, column, patch)``, which copies a patch of a map."""
    height, width, channels = context.edge(op.source).shape
    (rows, columns), (down, right) = op.kernel, op.stride
    top, left = op.padding[:2]
    given = context.type_of(op.source)
    return f"""static void {name}(const {given} *x, int32_t row, int32_t column, {patch} *patch)
{{
    for (int32_t i = 0; i < {rows}; i++) {{
        for (int32_t j = 0; j < {columns}; j++) {{
            const int32_t y = row * {down} + i - {top}, z = column * {right} + j - {left};
            const int outside = y < 0 || y >= {height} || z < 0 || z >= {width};
            for (int32_t c = 0; c < {channels}; c++)
                *patch++ = outside ? {op.pad_value} : x[(y * {width} + z) * {channels} + c];
        }}
    }}
}}
"""


def _window(op: Window, context: Context) -> str:
    height, width, size = context.edge(op.name).shape
    return f"""{_gather(op, context, f"patch{context.number}", context.type_of(op.name))}
{_head(context, (op.source, "x"), result=op.name)}
{{
    for (int32_t i = 0; i < {height}; i++)
        for (int32_t j = 0; j < {width}; j++, y += {size})
            patch{context.number}(x, i, j, y);
}}
"""


def _dot(op: Dot, context: Context) -> str:
    """Return ``opN`` of a dot: it calls ``productN`` at each position of the map."""
    number, columns = context.number, op.weights.shape[1]
    height, width, rows = context.edge(op.name).shape
    source, vector = op.source, context.type_of(op.source)
    gather, patch, step = "", "x", f"x += {columns}"
    if (window := context.fused.get(op.source)) is not None:
        source, patch, step = window.source, f"patch_{vector}", ""
        gather = _gather(window, context, f"patch{number}", vector)
        patch_call = f"patch{number}(x, i, j, patch_{vector});\n            "
    else:
        patch_call = ""
    product = (
        _counted(op, context)
        if is_counted(op, context.edge(op.source).precision)
        else _multiplied(op, context)
    )
    steps = f"y += {rows}" + (f", {step}" if step else "")
    return f"""{product}
{gather}{_head(context, (source, "x"), result=op.name)}
{{
    for (int32_t i = 0; i < {height}; i++) {{
        for (int32_t j = 0; j < {width}; j++, {steps}) {{
            {patch_call}product{number}({patch}, y);
        }}
    }}
}}
"""


def _biases(op: Dot, low: int) -> NDArray[np.int64]:
    """Return for each row of weights: the row's bias plus ``low`` times the sum of the weights."""
    bias = np.zeros(len(op.weights), np.int64) if op.bias is None else op.bias.astype(np.int64)
    biases: NDArray[np.int64] = bias + low * op.weights.astype(np.int64).sum(axis=1)
    return biases


def _sum_type(op: Dot, inputs: Planes, weights: Planes) -> str:
    """Return a C type that holds every partial sum of the products that :func:`_counted` counts."""
    columns = op.weights.shape[1]
    steps = sum(map(abs, inputs.factors)) * (sum(map(abs, weights.factors)) + abs(weights.low))
    most = columns * steps + int(np.abs(_biases(op, inputs.low)).max())
    return "int32_t" if most < 1 << 31 else "int64_t"


def _counted(op: Dot, context: Context) -> str:
    """Return the function ``productN`` of a dot that counts bits.

    It uses AND and popcount on bit planes. If BNN_PLAIN is defined when the C code is compiled, it
    reads the same bit planes, but multiplies and adds value by value.
    """
    number, (rows, columns) = context.number, op.weights.shape
    source = context.edge(op.source)
    inputs, weights = planes_of(source.precision), planes_of(op.precision)
    words, made = -(-columns // 32), context.type_of(op.name)
    sums = _sum_type(op, inputs, weights)
    biases = _biases(op, inputs.low)
    bias = c_type(int(biases.min()), int(biases.max())) if biases.any() else ""
    first = f"bias{number}[r]" if bias else "0"
    products = [
        f"            sum += ({sums}){a * b} * (int32_t)bits(x{p}[k] & w[{q * words} + k]);"
        for p, a in enumerate(inputs.factors)
        for q, b in enumerate(weights.factors)
    ]
    planes = [f"planes[{p}]" for p in range(len(inputs.factors))]
    declared = ", ".join(f"*const x{p} = {plane}" for p, plane in enumerate(planes))
    ones = [
        f"        base += ({sums}){weights.low * a} * (int32_t)bits(x{p}[k]);"
        for p, a in enumerate(inputs.factors)
        if weights.low
    ]
    counted = f"    for (int32_t k = 0; k < {words}; k++) {{\n" + "\n".join(ones) + "\n    }\n"
    rows_of = f"for (int32_t r = 0; r < {rows}; r++, w += {words * len(weights.factors)})"
    weight = " + ".join(
        f"{b} * (int32_t)(w[{q * words} + k / 32] >> k % 32 & 1u)"
        for q, b in enumerate(weights.factors)
    )
    constants = array("uint32_t", f"weights{number}", packed(op), hexadecimal=True)
    constants += array(bias, f"bias{number}", biases) if bias else ""
    return f"""{constants}
static void product{number}(const {context.type_of(op.source)} *x, {made} *y)
{{
    const uint32_t *w = weights{number};
#ifndef BNN_PLAIN
    const uint32_t {declared};
    {sums} base = 0;
    pack(x, {columns}, {words}, {len(inputs.factors)}, {inputs.low});
{counted if ones else ""}    {rows_of} {{
        {sums} sum = base + {first};
        for (int32_t k = 0; k < {words}; k++) {{
{chr(10).join(products)}
        }}
        y[r] = ({made})sum;
    }}
#else
    {rows_of} {{
        {sums} sum = {first};
        for (int32_t k = 0; k < {columns}; k++)
            sum += ({sums})((int32_t)x[k] - {_signed(inputs.low)}) * ({weights.low} + {weight});
        y[r] = ({made})sum;
    }}
#endif
}}
""".replace("pack(x,", f"pack_{context.type_of(op.source).removesuffix('_t')}(x,")


def _signed(value: int) -> str:
    return f"({value})" if value < 0 else str(value)


def _multiplied(op: Dot, context: Context) -> str:
    """Return the function ``productN`` of a dot whose weights are stored as numbers."""
    number, (rows, columns) = context.number, op.weights.shape
    made, weight = context.type_of(op.name), c_type(int(op.weights.min()), int(op.weights.max()))
    bias = op.bias is not None and op.bias.any()
    constants = array(weight, f"weights{number}", op.weights)
    constants += array("int32_t", f"bias{number}", op.bias) if bias and op.bias is not None else ""
    return f"""{constants}
static void product{number}(const {context.type_of(op.source)} *x, {made} *y)
{{
    const {weight} *w = weights{number};
    for (int32_t r = 0; r < {rows}; r++) {{
        int64_t sum = {f"bias{number}[r]" if bias else "0"};
        for (int32_t k = 0; k < {columns}; k++)
            sum += (int64_t)x[k] * *w++;
        y[r] = ({made})sum;
    }}
}}
"""


def _threshold(op: Threshold, context: Context) -> str:
    source, number = context.edge(op.source), context.number
    channels, levels = op.thresholds.shape
    count, most = math.prod(source.shape[:2]), max(abs(source.low), abs(source.high))
    # Values outside the source's bounds are always or never reached: a smaller type will do.
    table = np.clip(op.thresholds.astype(np.int64), -most, most + 1)
    c = c_type(int(table.min()), int(table.max())) if table.max() < 1 << 31 else "int64_t"
    constants = array(c, f"levels{number}", table)
    sign = ""
    if op.signs is not None and (op.signs < 0).any():
        constants += array("int8_t", f"signs{number}", op.signs)
        sign = f" * signs{number}[c]"
    made = context.type_of(op.name)
    return f"""{constants}
{_head(context, (op.source, "x"), result=op.name)}
{{
    for (int32_t i = 0; i < {count}; i++) {{
        const {c} *t = levels{number};
        for (int32_t c = 0; c < {channels}; c++, t += {levels}) {{
            const int64_t v = (int64_t)*x++{sign};
            int32_t first = 0, last = {levels};
            while (first < last) {{
                const int32_t middle = first + (last - first) / 2;
                if (t[middle] <= v)
                    first = middle + 1;
                else
                    last = middle;
            }}
            *y++ = ({made})({op.base} + {_signed(op.step)} * first);
        }}
    }}
}}
"""


def _pool(op: Pool, context: Context) -> str:
    height, width, channels = context.edge(op.source).shape
    out_height, out_width, _ = context.edge(op.name).shape
    (rows, columns), (down, right) = op.kernel, op.stride
    top, left = op.padding[:2]
    made = context.type_of(op.name)
    return f"""{_head(context, (op.source, "x"), result=op.name)}
{{
    for (int32_t i = 0; i < {out_height}; i++)
        for (int32_t j = 0; j < {out_width}; j++)
            for (int32_t c = 0; c < {channels}; c++) {{
                int32_t best = INT32_MIN;
                for (int32_t k = 0; k < {rows}; k++) {{
                    for (int32_t l = 0; l < {columns}; l++) {{
                        const int32_t a = i * {down} + k - {top}, b = j * {right} + l - {left};
                        if (a >= 0 && a < {height} && b >= 0 && b < {width}) {{
                            const int32_t v = x[(a * {width} + b) * {channels} + c];
                            best = v > best ? v : best;
                        }}
                    }}
                }}
                *y++ = ({made})best;
            }}
}}
"""


def _add(op: Add, context: Context) -> str:
    made = context.type_of(op.name)
    return f"""{_head(context, (op.source, "a"), (op.other, "b"), result=op.name)}
{{
    for (int32_t i = 0; i < {size_of(context.edge(op.name))}; i++)
        y[i] = ({made})((int32_t)a[i] + (int32_t)b[i]);
}}
"""


def _concat(op: Concat, context: Context) -> str:
    height, width, first = context.edge(op.source).shape
    made = context.type_of(op.name)
    return f"""{_head(context, (op.source, "a"), (op.other, "b"), result=op.name)}
{{
    for (int32_t i = 0; i < {height * width}; i++) {{
        for (int32_t c = 0; c < {first}; c++)
            *y++ = ({made})*a++;
        for (int32_t c = 0; c < {context.edge(op.other).shape[2]}; c++)
            *y++ = ({made})*b++;
    }}
}}
"""


#: What is added to the whole part of a quotient, from the rest and half of the divisor.
_UP = {
    "floor": "0",
    "up": "rest >= half",
    "even": "rest > half || (rest == half && (whole & 1))",
    "zero": "rest > half || (rest == half && whole < 0)",
}


def _rescale(op: Rescale, context: Context) -> str:
    number, made = context.number, context.type_of(op.name)
    height, width, channels = context.edge(op.name).shape
    constants = array("int32_t", f"multipliers{number}", op.multipliers)
    offset = ""
    if op.offsets is not None:
        constants += array("int64_t", f"offsets{number}", op.offsets)
        offset = f" + offsets{number}[c]"
    up = _UP[op.rounding] if op.shift else "0"
    return f"""{constants}
{_head(context, (op.source, "x"), result=op.name)}
{{
    const int64_t divisor = INT64_C({1 << op.shift}), half = divisor / 2;
    (void)half;
    for (int32_t i = 0; i < {height * width}; i++) {{
        for (int32_t c = 0; c < {channels}; c++) {{
            const int64_t exact = (int64_t)*x++ * multipliers{number}[c]{offset};
            int64_t whole = exact / divisor, rest = exact % divisor;
            if (rest < 0) {{
                rest += divisor;
                whole--;
            }}
            whole += ({up}) ? 1 : 0;
            whole = whole < {op.low} ? {op.low} : whole;
            *y++ = ({made})(whole > {op.high} ? {op.high} : whole);
        }}
    }}
}}
"""


def _arg_max(op: ArgMax, context: Context) -> str:
    size = size_of(context.edge(op.source))
    match op.rule:
        case "first":
            body = "if (x[i] > x[best])\n            best = i;"
            after = ""
        case "first-positive":
            body = "if (x[i] > x[best])\n            best = i;"
            after = "    if (x[best] <= 0)\n        best = 0;\n"
        case "highest-positive":
            body, after = "if (x[i] > 0)\n            best = i;", ""
    return f"""{_head(context, (op.source, "x"), result=op.name)}
{{
    int32_t best = 0;
    for (int32_t i = 0; i < {size}; i++) {{
        {body}
    }}
{after}    *y = ({context.type_of(op.name)})best;
}}
"""
