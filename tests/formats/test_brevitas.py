# SPDX-License-Identifier: BSD-3-Clause
"""Brevitas' bnn_pynq networks: live modules, and on to the original's overlays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bnn
from bnn.errors import FormatError
from bnn.formats.brevitas import torch_file
from bnn.formats.brevitas.live import check
from bnn.formats.convert import Options, convert, convert_module, export, taking_pictures
from support.converted import FIXTURES


class Tensor:
    """As much of a torch tensor as is needed to get at its values."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        return self.values


class Module:
    """As much of a Brevitas module as is needed: its state, and the bits of its quantizers."""

    def __init__(self, state: dict[str, Any], weights: Any, acts: Any, first: Any) -> None:
        self.state = state
        self.bits = (weights, acts, first)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: Tensor(values) for name, values in self.state.items()}

    def modules(self) -> Iterator[Any]:
        weights, acts, first = (SimpleNamespace(bit_width=lambda b=b: b) for b in self.bits)
        yield SimpleNamespace(act_quant=first)
        yield SimpleNamespace(weight_quant=weights)
        yield SimpleNamespace(act_quant=acts)


def test_damaged_files_of_before_pytorch_16(tmp_path: Path) -> None:
    """Cut anywhere, or with a changed byte, they are refused in one line, or are another state."""
    data = (FIXTURES / "pytorch" / "mlp-old.pth").read_bytes()
    whole = torch_file.read(FIXTURES / "pytorch" / "mlp-old.pth")["state_dict"]
    new = torch_file.read(FIXTURES / "pytorch" / "mlp.pt")
    assert list(whole) == list(new)
    for key, value in new.items():
        np.testing.assert_array_equal(whole[key], value)
    path = tmp_path / "x.pth"
    rng = np.random.default_rng(0)
    for end in (20, 40, 200, 900, 2000, 4000, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(FormatError):
            convert(path, None, Options(topology=str(FIXTURES / "pytorch" / "mlp.toml")))
    for place in rng.integers(15, 4000, 60).tolist():
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with contextlib.suppress(FormatError):
            torch_file.read(path)


@pytest.mark.parametrize(("name", "bits"), [("tfc-w1a2", (1.0, 2.0, 2.0)), ("cnv-w2a2", (2, 2, 8))])
def test_a_live_module_is_its_checkpoint(name: str, bits: Any) -> None:
    path = FIXTURES / "brevitas" / f"{name}.tar"
    module = Module(torch_file.read(path)["state_dict"], *bits)
    live, stored = convert_module(module).model, convert(path).model
    assert live.program.digest() == stored.program.digest()


@pytest.mark.parametrize("variance", [0.0, 1e-4, 3.0])
def test_the_last_norm_has_brevitas_epsilon(variance: float) -> None:
    """Brevitas' TensorNorm divides by sqrt(variance + 1e-4); small variances tell."""
    state = torch_file.read(FIXTURES / "brevitas" / "tfc-w1a2.tar")["state_dict"]
    name = "features.15.running_var"

    def scale(value: float) -> float:
        module = Module({**state, name: np.float32([value])}, 1.0, 2.0, 2.0)
        affine = convert_module(module).model.program.affine
        assert affine is not None
        return float(affine.scale[0])

    one = 1.0 - 1e-4  # of which the root is 1
    assert scale(variance) == pytest.approx(scale(one) / np.sqrt(variance + 1e-4), rel=1e-5)


def test_bits_that_only_the_file_name_says_are_told() -> None:
    path = FIXTURES / "brevitas" / "tfc-w1a2.tar"
    (told,) = [line for line in convert(path).report.lost if "name" in line]
    assert "1 bits for weights and 2 for activations" in told
    named = convert(path, options=Options(topology="tfc-w1a2"))
    assert [line for line in named.report.lost if "name" in line] == []


@pytest.mark.parametrize(
    ("name", "bits", "every"), [("tfc-w1a2", (1.0, 2.0, 2.0), 1), ("cnv-w2a2", (2, 2, 8), 5)]
)
def test_tensors_of_other_shapes_are_refused(name: str, bits: Any, every: int) -> None:
    """Each one of a network, one row short (but the last: a class less) or with one axis more."""
    state = torch_file.read(FIXTURES / "brevitas" / f"{name}.tar")["state_dict"]
    needed = [key for key, value in state.items() if value.ndim and value.size > 1][::every]
    last = [key for key, value in state.items() if value.ndim > 1][-1]
    assert len(needed) > 5
    for key in needed:
        for wrong in (state[key][None], *([state[key][1:]] if key != last else [])):
            with pytest.raises(FormatError):
                convert_module(Module({**state, key: wrong}, *bits))


def test_other_modules_are_refused() -> None:
    state = torch_file.read(FIXTURES / "brevitas" / "tfc-w1a1.tar")["state_dict"]
    with pytest.raises(FormatError, match="not quantized"):
        convert_module(Module(state, None, 1, 1))
    with pytest.raises(FormatError, match="conv1"):
        convert_module(Module({"conv1.weight": np.ones((1, 1, 3, 3))}, 1, 1, 1))


class Quantizer:
    """As much of a quantizer's proxy as is looked at."""

    def __init__(self, bits: Any = 1, scale: float = 1.0, zero: float = 0.0, **flags: bool) -> None:
        self.bit_width = lambda: bits
        self.scale = lambda: np.float32(scale)
        self.zero_point = lambda: np.float32(zero)
        self.is_signed = flags.get("signed", True)
        self.is_narrow_range = flags.get("narrow", True)


def one(kind: str, **settings: Any) -> Any:
    """A module of a class called ``kind``."""
    return type(kind, (), settings)()


CONV = {
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "groups": 1,
    "padding_mode": "zeros",
    "bias": None,
}
POOL = {
    "kernel_size": 2,
    "stride": 2,
    "padding": 0,
    "dilation": 1,
    "ceil_mode": False,
    "return_indices": False,
}
EPSILONS = {"features": 1e-5}


@pytest.mark.parametrize(
    ("module", "word"),
    [
        (one("QuantConv2d", **CONV, weight_quant=Quantizer()), ""),
        (one("QuantConv2d", **{**CONV, "stride": (2, 2)}), "stride"),
        (one("QuantConv2d", **{**CONV, "padding": (1, 1)}), "padding"),
        (one("QuantConv2d", **{**CONV, "dilation": (2, 2)}), "dilation"),
        (one("QuantConv2d", **{**CONV, "groups": 2}), "groups"),
        (one("QuantConv2d", **{**CONV, "padding_mode": "circular"}), "padding_mode"),
        (one("QuantLinear", bias=np.zeros(3)), "bias"),
        (one("MaxPool2d", **POOL), ""),
        (one("MaxPool2d", **{**POOL, "kernel_size": 3}), "kernel_size"),
        (one("MaxPool2d", **{**POOL, "ceil_mode": True}), "ceil_mode"),
        (one("BatchNorm1d", track_running_stats=True, eps=1e-5), ""),
        (one("BatchNorm1d", track_running_stats=True, eps=1e-3), "epsilon"),
        (one("BatchNorm1d", track_running_stats=False, eps=1e-5), "track_running_stats"),
        (one("TensorNorm", eps=1e-4), ""),
        (one("TensorNorm", eps=1e-5), "epsilon"),
        (one("ReLU"), "ReLU"),
        (one("QuantIdentity", act_quant=Quantizer(2)), ""),
        (one("QuantIdentity", act_quant=Quantizer(8, 1 / 128, narrow=False)), ""),
        (one("QuantIdentity", act_quant=Quantizer(2.5)), "2.5 bits"),
        (one("QuantIdentity", act_quant=Quantizer(1, 0.5)), "scale"),
        (one("QuantIdentity", act_quant=Quantizer(2, zero=1)), "zero point"),
        (one("QuantIdentity", act_quant=Quantizer(2, signed=False)), "signed=False"),
        (one("QuantIdentity", act_quant=Quantizer(2, narrow=False)), "narrow_range=False"),
        (one("QuantIdentity", act_quant=Quantizer(9, 1 / 128)), "9 bits"),
    ],
)
def test_what_a_live_module_says_beside_its_tensors(module: Any, word: str) -> None:
    network = SimpleNamespace(features=[module])
    if not word:
        check(network, EPSILONS, 1e-4)
        return
    with pytest.raises(FormatError, match=f"features.0.*{word}"):
        check(network, EPSILONS, 1e-4)


def random_cnv(rng: np.random.Generator) -> dict[str, Any]:
    """State of Brevitas' CNV in its full size."""
    state: dict[str, Any] = {}

    def norm(name: str, count: int) -> None:
        state[f"{name}.weight"] = rng.normal(1, 0.3, count)
        state[f"{name}.bias"] = rng.normal(0, 0.3, count)
        state[f"{name}.running_mean"] = rng.normal(0, 5, count)
        state[f"{name}.running_var"] = rng.uniform(50, 900, count)

    channels = [3, 64, 64, 128, 128, 256, 256]
    for number, one, two in zip((1, 4, 8, 11, 15, 18), channels, channels[1:], strict=False):
        state[f"conv_features.{number}.weight"] = rng.uniform(-1, 1, (two, one, 3, 3))
        norm(f"conv_features.{number + 1}", two)
    for number, one, two in ((0, 256, 512), (3, 512, 512), (6, 512, 10)):
        state[f"linear_features.{number}.weight"] = rng.uniform(-1, 1, (two, one))
        norm(f"linear_features.{number + 1}", 1 if number == 6 else two)
    return {name: np.asarray(values, np.float32) for name, values in state.items()}


@pytest.mark.parametrize(("weights", "acts"), [(1, 1), (2, 2)])
def test_from_brevitas_to_the_overlays(weights: int, acts: int, tmp_path: Path) -> None:
    """Trained in Brevitas, written as the original's files, and the same classes there."""
    module = Module(random_cnv(np.random.default_rng(0)), weights, acts, 8)
    model = taking_pictures(convert_module(module).model, "unit")
    assert export(model, "bnn-pynq", tmp_path / "set") == ()
    pictures = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), np.uint8)
    found = bnn.Classifier(bnn.load(tmp_path / "set")).classify(pictures)
    np.testing.assert_array_equal(found, bnn.Classifier(model).classify(pictures))
    assert len(set(found)) > 1
