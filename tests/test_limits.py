# SPDX-License-Identifier: BSD-3-Clause
"""The limits in docs/reliability.md are those of the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bnn.data import cifar, files, tar
from bnn.data.pictures import seen
from bnn.formats.bnn_pynq import reading
from bnn.formats.keras import file as keras
from bnn.formats.qonnx import input as qonnx_input
from bnn.formats.qonnx import onnx_file
from bnn.hw import folding
from bnn.model import file as model
from bnn.network import topology
from bnn.program import operations
from bnn.system import archives, npz
from bnn.system import files as system

DOCS = Path(__file__).parents[1] / "docs" / "reliability.md"

#: First cell of a row -> the limits of its second cell, in order.
ROWS: dict[str, list[int]] = {
    "`.bnn` file, its header, its tensors": [
        model.MAX_FILE_BYTES,
        model.MAX_HEAD_BYTES,
        model.MAX_TENSORS,
    ],
    "values of one edge of a program, of all edges for one image": [
        operations.MAX_EDGE_VALUES,
        operations.MAX_PROGRAM_VALUES,
    ],
    "weights and thresholds of a program": [operations.MAX_PARAMETERS],
    "steps of a program for one image (`bnn.program.check.work`)": [operations.MAX_WORK],
    "data set or CIFAR file, unpacked": [files.MAX_BYTES, cifar.MAX_BYTES],
    "a packed file (gz, xz, bz2), unpacked": [files._UNDOUBTED, files.MAX_RATIO],
    "memory of the xz decoder": [files._XZ_MEMORY],
    "original parameter set": [reading.MAX_SET_BYTES],
    "extended headers of a tar archive, its members": [tar._MAX_EXTENDED, tar._MAX_MEMBERS],
    "zip archive, unpacked": [
        archives.MAX_UNPACKED_BYTES,
        archives._UNDOUBTED,
        archives.MAX_RATIO,
    ],
    "members of a zip archive, bytes of their list": [
        archives.MAX_MEMBERS,
        archives.MAX_DIRECTORY_BYTES,
    ],
    "ONNX: nodes, fields, values of all constants": [
        onnx_file.MAX_NODES,
        onnx_file.MAX_FIELDS,
        onnx_file.MAX_VALUES,
    ],
    "topology (TOML), folding (JSON), names of classes": [
        topology.MAX_FILE_BYTES,
        folding.MAX_FILE_BYTES,
        1 << 20,
    ],
    "digits of a whole number in JSON; in a request of `bnn serve`": [
        system._MAX_DIGITS,
        system._PYTHON_DIGITS,
    ],
    "an npz file's arrays, and the header of each": [npz.MAX_BYTES, npz.MAX_HEADER_BYTES],
    "Keras: bytes of the configuration, layers": [keras.MAX_CONFIG, keras.MAX_LAYERS],
    "ONNX: steps of an input without a quantizer": [qonnx_input.MAX_STEPS],
    "topology: layers, weights, values of a map, size of an axis": [
        topology.MAX_LAYERS,
        topology.MAX_WEIGHTS,
        topology.MAX_VALUES,
        topology.MAX_SIZE,
    ],
    "pixels of a picture that is decoded whole": [seen._WHOLE],
}
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "million": 10**6}


def limits() -> dict[str, list[int]]:
    """Rows of the table, with the numbers of their second cell."""
    found = {}
    text = DOCS.read_text(encoding="utf-8").split("## Limits")[1].split("\n## ")[0]
    for row in re.findall(r"^\| (.+?) \| (.+?) \|", text, re.MULTILINE):
        numbers = re.findall(r"2\^(\d+)|(\d+(?: \d{3})*) ?(KiB|MiB|million|)", row[1])
        found[row[0]] = [
            1 << int(power) if power else int(number.replace(" ", "")) * UNITS[unit]
            for power, number, unit in numbers
        ]
    return found


@pytest.mark.parametrize("row", ROWS)
def test_limits_are_those_of_the_documentation(row: str) -> None:
    assert limits()[row] == ROWS[row]
