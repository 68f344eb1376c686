# SPDX-License-Identifier: BSD-3-Clause
"""The tables that a new format is written in agree, so that none is forgotten in one of them."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from bnn.commands.convert import convert as command
from bnn.errors import NetworkError
from bnn.formats import convert
from bnn.formats.report import Converted, Report
from bnn.network.network import Linear, Network
from bnn.program.inputs import IntegerInput
from bnn.program.precision import BIPOLAR


def test_every_format_has_a_reader_and_says_which_options_it_takes() -> None:
    """A format that did not say so would ignore options without a word."""
    assert set(convert._TAKEN) == set(convert.SOURCES)
    assert {*convert._READERS, "bnn-pynq", "lstm-pynq"} == set(convert.SOURCES)


def test_every_format_is_named_in_the_help() -> None:
    told = str(inspect.signature(command).parameters["source_format"].annotation)
    assert not [name for name in convert.SOURCES if name not in told]


def test_what_the_network_refuses_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of a format need not catch it: the network names the layer, convert the file."""

    def read(*_: object) -> Converted:
        layer = Linear("dense", np.ones((2, 3), np.int16), BIPOLAR)
        return Converted(Network(IntegerInput((4,), BIPOLAR), (layer,)), Report("chainer"))

    monkeypatch.setitem(convert._READERS, "chainer", read)
    path = tmp_path / "x.npz"
    with pytest.raises(NetworkError) as raised:
        convert.convert(path, "chainer")
    assert str(raised.value) == f"{path}: dense: weights are for 3 inputs, 'input' gives 4"
