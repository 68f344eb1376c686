# SPDX-License-Identifier: BSD-3-Clause
"""Numbers in names of foreign files: of other scripts, raised, with zeros, thousands of digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bnn.data import names
from bnn.errors import BnnError, FormatError
from bnn.formats.brevitas import read as brevitas
from bnn.formats.chainer import _natural
from bnn.formats.convert import Options, convert
from bnn.formats.report import Report
from bnn.hw import folding
from bnn.network import topology
from bnn.system import terminal
from hw.examples import dense

ODD = ("\u00b3", "\u0663", "1" * 5000, "007", "\u2460", "-1", "1_0")


@pytest.mark.parametrize("number", ODD)
def test_names_of_arrays(number: str, tmp_path: Path) -> None:
    links = {f"l{number}/W": np.ones((3, 6)), "l1/W": np.ones((4, 6)), "l2/W": np.ones((3, 4))}
    np.savez(tmp_path / "links.npz", **{key: one.astype("f4") for key, one in links.items()})
    layers = topology.loads('input = 6\nlayers = [{dense=4},"norm","act",{dense=3},"norm"]')
    with pytest.raises(BnnError):
        convert(tmp_path / "links.npz", "chainer", Options(topology=layers))
    arrays = {"arr_0": np.ones((6, 4)), f"arr_{number}": np.ones((4, 3))}
    np.savez(tmp_path / "arrays.npz", **{key: one.astype("f4") for key, one in arrays.items()})
    with pytest.raises(BnnError):
        convert(tmp_path / "arrays.npz", "theano")
    with pytest.raises(FormatError, match="belongs to none of"):
        brevitas._modules({f"features.{number}.weight": np.ones((4, 6))}, Report("x"))


@pytest.mark.parametrize("number", ODD[:-1])  # MVAU_1_0 is FINN's
def test_names_of_layers_and_classes(number: str, tmp_path: Path) -> None:
    path = tmp_path / "folding.json"
    path.write_text(json.dumps({f"MVAU_{number}": {"PE": 1, "SIMD": 1}}), encoding="utf-8")
    with pytest.raises(BnnError, match="is not a layer"):
        folding.read(path, dense())
    assert names._in_their_places([f"a{number}", "a1"]) in (True, False)
    assert not terminal._is_positive("1" * 5000)


def test_the_order_of_links() -> None:
    """As the numbers say, whatever their length; equal ones as they are written."""
    given = ["l10", "l9", "l009", "l1", "b2/x", "l", "l\u00b3", "l" + "1" * 5000, "l02"]
    assert sorted(given, key=_natural)[:-2] == ["b2/x", "l", "l1", "l02", "l009", "l9", "l10"]
