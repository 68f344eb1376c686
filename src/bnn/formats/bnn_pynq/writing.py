# SPDX-License-Identifier: BSD-3-Clause
"""Writing parameter sets of the original BNN-PYNQ: weights, thresholds, classes, constants.

Section 3 of the specification defines the files, section 9 the C header. Reading is in
:mod:`bnn.formats.bnn_pynq.reading`; :mod:`bnn.formats.bnn_pynq.extracting` computes the values
from a program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnn.errors import ParameterError
from bnn.formats.bnn_pynq.networks import Layer, OriginalNetwork
from bnn.formats.bnn_pynq.reading import CONFIG, Files
from bnn.system.files import write_new_folder

#: Threshold of a pad row, which no sum reaches.
NEVER = 32767


@dataclass(frozen=True, eq=False)
class LayerParameters:
    """Values of one layer as in the files, without pad rows and pad columns.

    Attributes:
        weights: int64 (rows, columns), values -1, +1 or -1, 0, +1.
        thresholds: int64 (rows, levels), the numbers in the file; levels may be 0.
    """

    weights: NDArray[np.int64]
    thresholds: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parameters:
    """All values of a parameter set, and the text of ``classes.txt``."""

    network: OriginalNetwork
    layers: tuple[LayerParameters, ...]
    classes_text: str


def encode(parameters: Parameters) -> Files:
    """Return file name -> contents of a parameter set in the folding of ``parameters.network``."""
    network = parameters.network
    files: Files = {}
    for index, (layer, values) in enumerate(zip(network.layers, parameters.layers, strict=True)):
        bits = network.weight_bits
        for pe, words in enumerate(_weight_words(layer, values.weights, bits)):
            files[f"{index}-{pe}-weights.bin"] = words.astype("<u8").tobytes()
        if values.thresholds.shape[1]:
            for pe, numbers in enumerate(_threshold_words(layer, values.thresholds)):
                files[f"{index}-{pe}-thres.bin"] = numbers.tobytes()
    files["classes.txt"] = parameters.classes_text.encode()
    files[CONFIG] = header(network).encode()
    return files


def _weight_words(
    layer: Layer, weights: NDArray[np.int64], bits: int
) -> Iterator[NDArray[np.uint64]]:
    """Yield the weight words of each PE.

    Weights in pad columns are +1. Weights in pad rows are +1 if weights have one bit, 0 if they
    have two.
    """
    rows, columns = weights.shape
    padded = np.full((layer.rows, layer.columns), 1 if bits == 1 else 0, np.int64)
    padded[:rows, :columns] = weights
    padded[:rows, columns:] = 1
    codes = (padded > 0) if bits == 1 else (padded & 3)
    lanes = np.arange(layer.simd, dtype=np.uint64) * np.uint64(bits)
    shape = (layer.neuron_fold, layer.pe, layer.synapse_fold, layer.simd)
    words = (codes.astype(np.uint64).reshape(shape) << lanes).sum(axis=3, dtype=np.uint64)
    return iter(words.transpose(1, 0, 2))


def _threshold_words(layer: Layer, thresholds: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the threshold words of each PE; pad rows never fire."""
    rows, levels = thresholds.shape
    padded = np.full((layer.rows, levels), NEVER, np.int64)
    padded[:rows] = thresholds
    return iter(padded.astype("<i8").reshape(layer.neuron_fold, layer.pe, levels).swapaxes(0, 1))


def header(network: OriginalNetwork) -> str:
    """Return the C header with the constants for the original's build, a block per layer."""
    size, lines = 32, ["// Constants of " + network.name, ""]
    for index, layer in enumerate(network.layers):
        shape = {"MW": layer.columns, "MH": layer.rows}
        if layer.convolution:
            out = size - 2
            shape = {
                "K": 3,
                "IFM_CH": layer.columns // 9,
                "IFM_DIM": size,
                "OFM_CH": layer.rows,
                "OFM_DIM": out,
            }
            size = out // 2 if layer.pool else out
        values = {
            **shape,
            "SIMD": layer.simd,
            "PE": layer.pe,
            "WMEM": layer.weight_words,
            "TMEM": layer.neuron_fold,
            "WPI": network.weight_bits,
            "API": network.levels(index) or 16,  # without thresholds, 16-bit accumulators
            "WPF": 0,
            "APF": 0,
        }
        lines += [f"#define L{index}_{name} {value}" for name, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def write(files: Files, folder: str | os.PathLike[str]) -> None:
    """Make ``folder`` with ``files`` in it, whole or not at all.

    Raises:
        ParameterError: the folder is not empty, or cannot be written.
    """
    target = Path(os.path.realpath(folder))
    try:
        if target.is_dir() and any(target.iterdir()):
            raise ParameterError(f"{target}: exists already and is not empty")
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise ParameterError(f"{target}: cannot be written: {reason.strerror}") from reason
    write_new_folder(target, files, ParameterError)
