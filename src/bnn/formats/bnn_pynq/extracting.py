# SPDX-License-Identifier: BSD-3-Clause
"""From a program to the values of one of the original's five networks.

Translations are exact or refused: on the original's overlays the activations are the same, and
the scores are the same except for one factor and one offset for all classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnn.errors import ParameterError
from bnn.formats.bnn_pynq.networks import MAX_CLASSES, NETWORKS, Layer, OriginalNetwork
from bnn.formats.bnn_pynq.reading import parse_classes
from bnn.formats.bnn_pynq.writing import LayerParameters, Parameters
from bnn.model.model import Model
from bnn.program.inputs import PictureInput, fixed_point_table, sign_table
from bnn.program.operations import INPUT, ArgMax, Dot, Op, Pool, Threshold, Window, sources
from bnn.program.precision import BIPOLAR, TERNARY
from bnn.program.program import Program

Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stage:
    """A dot with its window, threshold and pool, as one layer of a plain stack."""

    window: Window | None
    dot: Dot
    threshold: Threshold | None
    pool: Pool | None


#: Key of a model's provenance: the logit from which a class of an LFC network fires.
FIRES_AT = "fires at"
#: Number of levels that :func:`firing_level` tries.
MAX_LEVELS_TRIED = 1000


def parameters_of(
    model: Model, fires_at: float | None = None
) -> tuple[Parameters, tuple[str, ...]]:
    """Return the parameter set of ``model``, and notes on what it cannot express.

    Args:
        model: one of the five networks, read from a parameter set or trained.
        fires_at: see :func:`bnn.formats.bnn_pynq.save`.

    Raises:
        ParameterError: the model is not one of the five networks, or computes something that
            their files cannot express; the message names the operation.
    """
    program = model.program
    stages = _stages(model)
    network = _network(model, stages)
    layers: list[LayerParameters] = []
    before: Threshold | None = None
    for index, stage in enumerate(stages[:-1]):
        layers.append(_hidden(network, index, stage, before))
        before = stage.threshold
    if fires_at is not None:
        _check_firing(model, network, stages[-1], fires_at)
    else:
        kept = model.provenance.get(FIRES_AT, 0.0)
        fires_at = float(kept) if isinstance(kept, int | float) else 0.0
    last, notes = _last(program, network, stages[-1], before, fires_at)
    restored = _half_steps(model, network, layers[0])
    parameters = Parameters(network, (restored, *layers[1:], last), classes_text(model))
    return parameters, notes


def _check_firing(model: Model, network: OriginalNetwork, last: Stage, level: float) -> None:
    """Refuse ``fires_at`` where it has no effect: it is for LFC models with logits only."""
    if network.is_cnv:
        raise ParameterError(f"{model.name}: {network.name} has scores; remove fires_at")
    if last.threshold is not None and model.program.affine is None:
        raise ParameterError(f"{model.name}: its classes have thresholds; do not give fires_at")
    if not math.isfinite(level):
        raise ParameterError(f"{model.name}: fires_at must be a finite number, not {level}")


# --- recognising the stack -----------------------------------------------------------


def _stages(model: Model) -> list[Stage]:
    """Return the layers of the program, without the arg max.

    Refuse a program that is not a plain stack, for example if two operations read the same edge.
    """
    program = model.program
    readers: dict[str, list[Op]] = {}
    for op in program.ops:
        if not isinstance(op, ArgMax):
            for source in sources(op):
                readers.setdefault(source, []).append(op)
    affine = model.program.affine
    if affine is not None and affine.dense is not None:
        raise ParameterError(
            f"{model.name}: its last layer has real weights; the original's files have 1 or 2 bits"
        )
    stages: list[Stage] = []
    edge = INPUT
    while edge in readers:
        found: dict[type, Op] = {}
        for kind in (Window, Dot, Threshold, Pool):
            following = readers.get(edge, [])
            if len(following) == 1 and isinstance(following[0], kind):
                found[kind] = following[0]
                edge = following[0].name
        dot = found.get(Dot)
        if dot is None:
            names = ", ".join(op.name for op in readers[edge])
            raise ParameterError(
                f"{model.name}: no layer of an original network has {names} in this place"
            )
        if isinstance(dot, Dot) and dot.product_shift:
            raise ParameterError(
                f"{model.name}: {dot.name} rounds its products, unlike the original"
            )
        if isinstance(dot, Dot) and dot.groups > 1:
            raise ParameterError(f"{model.name}: {dot.name} has groups, unlike the original")
        stages.append(Stage(found.get(Window), dot, found.get(Threshold), found.get(Pool)))  # type: ignore[arg-type]
    return stages


def _network(model: Model, stages: list[Stage]) -> OriginalNetwork:
    """Return the one of the five networks that has these layers."""
    for network in NETWORKS.values():
        if _is(network, model, stages):
            if model.program.classes > MAX_CLASSES:
                raise ParameterError(
                    f"{model.name}: has {model.program.classes} classes; "
                    f"{network.name} of the original holds at most {MAX_CLASSES}"
                )
            _check_input(model, network)
            return network
    listed = ", ".join(NETWORKS)
    raise ParameterError(f"{model.name}: is not one of the original networks ({listed})")


def _is(network: OriginalNetwork, model: Model, stages: list[Stage]) -> bool:
    weights = BIPOLAR if network.weight_bits == 1 else TERNARY
    if len(stages) != len(network.layers):
        return False
    return all(
        _fits(layer, stage, model.program)
        and weights.allows(stage.dot.weights)
        and (network.weight_bits == 2 or stage.dot.precision == BIPOLAR)
        and (layer.last or _levels(stage) == network.activation_bits)
        for layer, stage in zip(network.layers, stages, strict=True)
    )


def _fits(layer: Layer, stage: Stage, program: Program) -> bool:
    rows = program.classes if layer.last else layer.rows
    plain_pool = stage.pool is not None and (
        (stage.pool.kernel, stage.pool.stride, stage.pool.padding) == ((2, 2), (2, 2), (0, 0, 0, 0))
    )
    window = stage.window
    plain_window = window is not None and (
        (window.kernel, window.stride, window.padding) == ((3, 3), (1, 1), (0, 0, 0, 0))
    )
    return (
        stage.dot.weights.shape == (rows, layer.used_columns)
        and (plain_window or not layer.convolution)
        and (layer.convolution or program.edges[stage.dot.name].shape[:2] == (1, 1))
        and (plain_pool if layer.pool else stage.pool is None)
    )


def _levels(stage: Stage) -> int:
    return 0 if stage.threshold is None else int(stage.threshold.thresholds.shape[1])


def _check_input(model: Model, network: OriginalNetwork) -> None:
    given, table = model.program.input, fixed_point_table() if network.is_cnv else sign_table()
    if not isinstance(given, PictureInput) or not np.array_equal(given.table, table):
        raise ParameterError(f"{model.name}: its input is not quantized as in {network.name}")
    shape = (32, 32, 3) if network.is_cnv else (28, 28, 1)
    if given.shape != shape and given.shape != (int(np.prod(shape)),):
        raise ParameterError(f"{model.name}: its input has shape {given.shape}, not {shape}")


# --- values --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sums:
    """Relation between a dot's sums and those of the original's hardware.

    The inputs of the dot are activations with ``levels`` thresholds each. An activation that has
    reached ``count`` thresholds has the value ``-1 + (2 / levels) * count`` in the original, and
    ``base + step * count`` in the program. With S the sum of a row's weights, the original's sum
    is ``-S + (2 / levels) * (program's sum - bias - base * S) / step``.
    """

    dot: Dot
    base: int
    step: int
    levels: int

    @classmethod
    def of(cls, dot: Dot, before: Threshold | None) -> Sums:
        if before is None:  # the input has the same integers as in the original
            return cls(dot, -1, 2, 1)
        if before.step < 1:
            raise ParameterError(
                f"{before.name}: its output decreases from level to level, which the original's "
                "files cannot express"
            )
        return cls(dot, before.base, before.step, int(before.thresholds.shape[1]))

    @property
    def row_sums(self) -> Whole:
        sums: Whole = self.dot.weights.astype(np.int64).sum(axis=1)
        return sums

    @property
    def offset(self) -> Whole:
        """The program's sums if no input reaches a threshold (every count is 0), int64 (rows,)."""
        bias = 0 if self.dot.bias is None else self.dot.bias.astype(np.int64)
        return bias + self.base * self.row_sums

    def reached(self, thresholds: NDArray[np.int32]) -> Whole:
        """Translate thresholds (rows, levels) of the program's sums to the original's sums."""
        above = thresholds.astype(np.int64) - self.offset[:, None]
        unit = 2 // self.levels
        if unit != self.step:
            above = unit * -(-above // self.step)
        return above - self.row_sums[:, None]


def _hidden(
    network: OriginalNetwork, index: int, stage: Stage, before: Threshold | None
) -> LayerParameters:
    threshold = stage.threshold
    assert threshold is not None
    if threshold.signs is not None and (threshold.signs < 0).any():
        raise ParameterError(
            f"{threshold.name}: its level rises as a sum falls, which the original's files "
            "cannot express"
        )
    weights = stage.dot.weights.astype(np.int64)
    if network.is_cnv and index == 0:
        bias = 0 if stage.dot.bias is None else stage.dot.bias.astype(np.int64)[:, None]
        raw = 2 * (threshold.thresholds.astype(np.int64) - bias) - 2  # T < 2 * sum
        return LayerParameters(weights, np.clip(raw, -(1 << 23), (1 << 23) - 1))
    reached = Sums.of(stage.dot, before).reached(threshold.thresholds)
    return LayerParameters(weights, raw_thresholds(network, network.layers[index], reached))


def raw_thresholds(network: OriginalNetwork, layer: Layer, reached: Whole) -> Whole:
    """Return the thresholds (rows, levels) as the numbers that the files contain.

    ``reached`` (rows, levels) has the smallest signed sum at which each level begins; pad columns
    are not in this sum.
    """
    if network.activation_bits == 1:
        raw = (reached + layer.used_columns - 1) // 2  # T < (columns + sum) / 2
    else:
        raw = reached - 1 - (layer.columns - layer.used_columns)  # T < sum, pad inputs are -1
    return np.clip(raw, -32768, 32767)


def _last(
    program: Program,
    network: OriginalNetwork,
    stage: Stage,
    before: Threshold | None,
    fires_at: float,
) -> tuple[LayerParameters, tuple[str, ...]]:
    sums = Sums.of(stage.dot, before)
    if program.scores != stage.dot.name or _levels(stage) > 1:
        raise ParameterError(f"{program.scores}: the scores are not the sums of the last layer")
    if network.is_cnv:
        weights = stage.dot.weights.astype(np.int64) * _score_sign(program, stage, sums)
        return LayerParameters(weights, np.zeros((len(weights), 0), np.int64)), ()
    layer = network.layers[-1]
    notes: tuple[str, ...] = ()
    if stage.threshold is not None and program.affine is None:
        reached, weights = stage.threshold.thresholds, stage.dot.weights.astype(np.int64)
    else:
        note = (
            "the largest logit as the class: the original's LFC has one bit per class, here 1 for "
            f"a logit of at least {fires_at:g}, and takes the last class with a 1"
        )
        notes = (note,)
        signs, reached = _fires(program, stage, fires_at)
        weights = stage.dot.weights.astype(np.int64) * signs[:, None]
        bias = None if stage.dot.bias is None else (stage.dot.bias * signs).astype(np.int32)
        negated = Dot(stage.dot.name, stage.dot.source, weights, stage.dot.precision, bias)
        sums = Sums.of(negated, before)
    return LayerParameters(weights, raw_thresholds(network, layer, sums.reached(reached))), notes


def _score_sign(program: Program, stage: Stage, sums: Sums) -> int:
    """Return +1 if all logits rise with the original's scores, -1 if all fall."""
    # program score = factor * (original sum) + constant of the class
    constant = sums.offset + sums.step * sums.levels * sums.row_sums / 2
    scale = np.ones(program.classes) if program.affine is None else program.affine.scale
    offset = scale * constant + (0 if program.affine is None else program.affine.offset)
    if stage.threshold is not None or len(set(scale)) > 1 or len(set(offset)) > 1 or not scale[0]:
        raise ParameterError(
            f"{stage.dot.name}: scale or offset differ by class; the original's files "
            "cannot hold them (train with one scalar batch norm at the end)"
        )
    return 1 if scale[0] > 0 else -1


def firing_level(logits: NDArray[np.float64]) -> float:
    """Return the level for which "the highest class that reaches it" best agrees with the arg max.

    LFC sets have no scores: every class has one bit, which is 1 if the class's logit reaches the
    level. The answer is the highest class whose bit is 1. A network is trained so that its answer
    is the largest logit; this function tries many levels, and takes the one that gives the same
    answer for the most pictures.

    Args:
        logits: float64 (N, classes), of typical pictures; no labels are needed.
    """
    wanted, classes = logits.argmax(axis=1), logits.shape[1]
    best, most = 0.0, -1
    for level in (0.0, *np.quantile(logits.max(axis=1), np.linspace(0, 1, MAX_LEVELS_TRIED))):
        fired = logits >= level
        highest = (classes - 1 - fired[:, ::-1].argmax(axis=1)) * fired.any(axis=1)
        same = int((highest == wanted).sum())
        if same > most:
            best, most = float(level), same
    return best


def _fires(program: Program, stage: Stage, fires_at: float) -> tuple[Whole, NDArray[np.int32]]:
    """Return for each class a sign, int64 (classes,), and a threshold T, int32 (classes, 1).

    The output bit of a class is 1 if ``sign * sum >= T``.
    """
    if program.affine is None:
        raise ParameterError(f"{stage.dot.name}: LFC needs a threshold or logits for each class")
    edge = program.edges[program.scores]
    rows = range(program.classes)
    signs = np.where(program.affine.scale < 0, -1, 1)
    reached = np.zeros((program.classes, 1), np.int32)
    for row in rows:
        ordered = np.arange(edge.low, edge.high + 1, dtype=np.int64)[:: signs[row]]
        logits = ordered * program.affine.scale[row] + program.affine.offset[row]
        fires = logits >= fires_at
        first = int(fires.argmax()) if fires.any() else len(ordered)
        lowest = edge.low if signs[row] > 0 else -edge.high
        reached[row] = lowest + first
    return signs.astype(np.int64), reached


# --- details of an original file that have no effect ----------------------------------


def _half_steps(model: Model, network: OriginalNetwork, first: LayerParameters) -> LayerParameters:
    """Return the first layer with the lowest bits of its thresholds as in the file that was read.

    If the model has no such bits in its provenance, or they do not fit, return ``first`` unchanged.
    """
    kept = model.provenance.get("half steps")
    if not network.is_cnv or not isinstance(kept, str):
        return first
    size = first.thresholds.size
    try:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(kept), np.uint8))
    except ValueError:
        return first
    if bits.size != -(-size // 8) * 8:
        return first
    odd = bits[:size].reshape(first.thresholds.shape).astype(np.int64)
    return LayerParameters(first.weights, first.thresholds | odd)


def classes_text(model: Model) -> str:
    """Return the contents of ``classes.txt``.

    They are the text that was read, if its names are still those of the model; else one name per
    line.

    Raises:
        ParameterError: reading the text would not give the same names.
    """
    kept = model.provenance.get("classes.txt")
    if isinstance(kept, str) and parse_classes(kept) == model.classes:
        return kept
    text = "\n".join(model.classes)
    if parse_classes(text) != model.classes:
        raise ParameterError(
            f"{model.name}: a class name is empty, contains a line break, or begins or ends with "
            "a space; it cannot be a line of classes.txt"
        )
    return text
