# SPDX-License-Identifier: BSD-3-Clause
"""Random programs for sequences: scans in both directions, products, rounded dots, wraps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bnn.errors import ProgramError
from bnn.program import check
from bnn.program.inputs import IntegerInput
from bnn.program.operations import (
    INPUT,
    OVERFLOWS,
    ROUNDINGS,
    Add,
    Carried,
    Concat,
    Dot,
    Edge,
    Multiply,
    Op,
    Rescale,
    Scan,
    Threshold,
)
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program
from support import programs
from support.programs import FULL, HARDWARE, Growing, numbers

Draw = Callable[..., Any]

#: Of vectors that are carried and of inputs: narrow ones, 16 bits, and values that int16 lacks.
CARRIED = (BIPOLAR, TERNARY, INT(2), UINT(1), INT(5), UINT(8), INT(9), INT(16), UINT(16))
LIMITS = replace(FULL, channels=70, ops=6, kinds=(Dot, Threshold, Add, Concat, Rescale))


#: What most often has blocks in the hardware.
SMALL = replace(
    HARDWARE, channels=6, levels=20, kinds=(Dot, Threshold, Add, Multiply, Concat, Rescale)
)
NARROW = (BIPOLAR, TERNARY, INT(2), UINT(1), INT(5))


@st.composite
def accelerated(draw: Draw) -> Program:
    """Programs with a scan of each direction, or of one; the accelerator has most operations."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    precision = draw(st.sampled_from(NARROW))
    channels = draw(st.integers(1, 6))
    given = IntegerInput((channels,), precision)
    net = Growing(SMALL, random, given, {INPUT: _column(channels, precision)})
    ends = []
    ways = draw(st.sampled_from([(False,), (True,), (False, True), (True, False)]))
    for reverse in ways:
        name = f"scan{len(ends)}"
        _scan(draw, net, name, source=INPUT, reverse=reverse)
        source = name
        if net.edges[name].is_narrow and draw(st.booleans()):
            source = programs._dot(draw, net, name, rows=3)
        ends.append(source)
    for end in ends[1:]:
        if net.edges[ends[0]].shape == net.edges[end].shape:
            net.add(Add(net.name, ends[0], end))
        else:
            joined = [net.edges[name] for name in (ends[0], end)]
            bits = max(programs._bits(v) for edge in joined for v in (edge.low, edge.high))
            net.add(Concat(net.name, ends[0], end, INT(bits)))
    return Program(given, tuple(net.ops), net.ops[-1].name)


@st.composite
def sequences(draw: Draw) -> Program:
    """Programs with one to three scans, and other operations before and after."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    precision = draw(st.sampled_from([each for each in CARRIED if each != UINT(16)]))
    channels = draw(st.integers(1, LIMITS.channels))
    given = IntegerInput((channels,), precision)
    net = Growing(LIMITS, random, given, {INPUT: _column(channels, precision)})
    for _ in range(draw(st.integers(0, 2))):
        _grow(draw, net)
    for number in range(draw(st.integers(1, 3))):
        _scan(draw, net, f"scan{number}")
        if draw(st.booleans()):
            _grow(draw, net)
    source = draw(st.sampled_from(list(net.edges)[-3:]))
    try:
        scores = programs._dot(draw, net, source, rows=3)
    except ProgramError:  # its sums would not fit
        scores = net.ops[-1].name
    return Program(given, tuple(net.ops), scores)


def _column(channels: int, precision: Precision) -> Edge:
    return Edge((1, 1, channels), precision, precision.low, precision.high)


def _grow(draw: Draw, net: Growing) -> None:
    """Add an operation that a body may have, if the drawn one is legal."""
    kinds = [
        programs._dot,
        programs._threshold,
        programs._add,
        programs._concat,
        _multiply,
        _rounded,
        _moved,
    ]
    source = draw(st.sampled_from(list(net.edges)[-4:]))
    if not net.limits.sums:  # what the hardware has no block for
        kinds.remove(_rounded)
        if not net.edges[source].is_narrow:
            kinds.remove(programs._dot)
    try:
        draw(st.sampled_from(kinds))(draw, net, source)
    except ProgramError:
        return


def _multiply(draw: Draw, net: Growing, source: str) -> str:
    shape = net.edges[source].shape
    others = [name for name, edge in net.edges.items() if edge.shape == shape]
    return net.add(Multiply(net.name, source, draw(st.sampled_from(others))))


def _rounded(draw: Draw, net: Growing, source: str) -> str:
    precision = draw(st.sampled_from([TERNARY, INT(4), INT(8), UINT(8), INT(16)]))
    rows, columns = draw(st.integers(1, 70)), net.edges[source].shape[2]
    weights = numbers(net.random, precision, (rows, columns))
    bias = net.random.integers(-40, 40, rows) if draw(st.booleans()) else None
    shift, rounding = draw(st.integers(1, 12)), draw(st.sampled_from(ROUNDINGS))
    return net.add(Dot(net.name, source, weights, precision, bias, 32, shift, rounding))


def _moved(draw: Draw, net: Growing, source: str) -> str:
    """A rescale of few bits, as fixed-point networks have them; often it wraps or saturates."""
    channels = net.edges[source].shape[2]
    precision = draw(st.sampled_from([INT(4), INT(8), INT(16), UINT(5), INT(24)]))
    multipliers = net.random.integers(-3, 4, channels)
    offsets = net.random.integers(-300, 300, channels) if draw(st.booleans()) else None
    return net.add(
        Rescale(
            net.name,
            source,
            multipliers,
            draw(st.integers(0, 9)),
            precision,
            precision.low,
            precision.high,
            offsets,
            draw(st.sampled_from(ROUNDINGS)),
            draw(st.sampled_from(OVERFLOWS)),
        )
    )


def _scan(
    draw: Draw,
    net: Growing,
    name: str,
    source: str | None = None,
    reverse: bool | None = None,
) -> None:
    most = net.limits.channels
    if source is None:
        source = draw(st.sampled_from(list(net.edges)[-2:]))
    own: dict[str, Edge] = {INPUT: net.edges[source]}
    waiting = []
    for number in range(draw(st.integers(0, 3))):
        precision = draw(st.sampled_from(CARRIED))
        channels = draw(st.integers(1, most))
        own[f"kept{number}"] = _column(channels, precision)
        waiting.append((f"kept{number}", channels, precision))
    body = Growing(net.limits, net.random, net.input, own)
    for _ in range(draw(st.integers(0, 8))):
        _grow(draw, body)
    carried = []
    for kept, channels, precision in waiting:
        start = int(net.random.integers(precision.low, precision.high, endpoint=True))
        start = max(start, 1) if precision == BIPOLAR else start
        made = _fitting(draw, body, channels, precision)
        carried.append(Carried(kept, channels, precision, made, start))
    if not body.ops:
        _identity(body, INPUT)
    result = draw(st.sampled_from([edge for edge in own if edge != INPUT]))
    if reverse is None:
        reverse = draw(st.booleans())
    scan = Scan(name, source, tuple(body.ops), tuple(carried), result, reverse)
    net.edges[name] = check._scan_edges(scan, net.edges[source], check._Total(0))[name]
    net.ops.append(scan)


def _identity(body: Growing, source: str) -> str:
    edge = body.edges[source]
    return body.add(Rescale(body.name, source, np.ones(edge.shape[2]), 0, INT(16), -999, 999))


def _fitting(draw: Draw, body: Growing, channels: int, precision: Precision) -> str:
    """An edge of the body that a vector of ``precision`` can carry."""
    fits = [
        name
        for name, edge in body.edges.items()
        if edge.shape[2] == channels and check._holds(precision, edge)
    ]
    if fits and draw(st.booleans()):
        return str(draw(st.sampled_from(fits)))
    source = draw(st.sampled_from(list(body.edges)[-3:]))
    if body.edges[source].shape[2] != channels:
        source = _resized(draw, body, channels)
    if precision == BIPOLAR:
        levels = body.random.integers(-3, 4, (channels, 1))
        return body.add(Threshold(body.name, source, levels, BIPOLAR, -1, 2))
    multipliers, overflow = body.random.integers(-3, 4, channels), draw(st.sampled_from(OVERFLOWS))
    low, high = precision.low, precision.high
    if precision.kind == "narrow":
        overflow = "saturate"
    shift = draw(st.integers(0, 4))
    rounding = draw(st.sampled_from(ROUNDINGS))
    return body.add(
        Rescale(
            body.name, source, multipliers, shift, precision, low, high, None, rounding, overflow
        )
    )


def _resized(draw: Draw, body: Growing, channels: int) -> str:
    """A dot with as many rows as there are channels, over an edge that a dot may read."""
    most = 16 if body.limits.sums else 8
    narrow = [name for name, edge in body.edges.items() if edge.precision.bits <= most]
    for source in draw(st.permutations(narrow)):
        weights = numbers(body.random, TERNARY, (channels, body.edges[source].shape[2]))
        return body.add(Dot(body.name, source, weights, TERNARY))
    raise AssertionError("no narrow edge")


def bodies(program: Program) -> list[Op]:
    """Every operation in the bodies of the scans."""
    return [op for scan in program.ops if isinstance(scan, Scan) for op in scan.body]
