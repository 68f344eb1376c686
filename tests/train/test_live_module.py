# SPDX-License-Identifier: BSD-3-Clause
"""Live PyTorch modules: traced, converted, and equal to their own answers, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bnn
from bnn.errors import FormatError
from bnn.formats.convert import convert_module

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
nn, F = torch.nn, torch.nn.functional


class Sign(torch.autograd.Function):  # type: ignore[misc]
    """As tutorials write it."""

    @staticmethod
    def forward(_: Any, x: Any) -> Any:
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(_: Any, grad: Any) -> Any:
        return grad


def through(x: Any, quantized: Any) -> Any:
    return x + (quantized - x).detach()


SIGNS = {
    "sign": lambda x: torch.sign(x),
    "function": Sign.apply,
    "clamped": lambda x: through(x.clamp(-1, 1), torch.where(x >= 0, 1.0, -1.0)),
    "unclamped": lambda x: through(x, torch.sign(x)),
    "tanh": lambda x: through(torch.tanh(x), torch.where(x > 0, 1.0, -1.0)),
    "twice": lambda x: 2 * (x > 0).float() - 1,
    "less": lambda x: 1 - 2 * (x < 0).float(),
    "equal": lambda x: torch.sign(x) + (x == 0).float(),
    "levels": lambda x: through(x, torch.round(x.clamp(0, 1) * 7) / 7),
    "floored": lambda x: torch.floor(x.clamp(-2, 1.5) * 2) / 2,
    "either": lambda x: torch.where((x > 1) | (x > 2), 1.0, 0.0),
    "least": lambda x: torch.maximum(torch.ceil(x), torch.zeros(())).clamp(max=3.0),
}


class Dense(nn.Linear):  # type: ignore[misc]
    """A dense layer of binary weights, straight through."""

    def forward(self, x: Any) -> Any:
        w = self.weight.clamp(-1, 1)
        return F.linear(x, through(w, torch.where(w >= 0, 1.0, -1.0)), self.bias)


class Conv(nn.Conv2d):  # type: ignore[misc]
    """A convolution of binary weights."""

    def forward(self, x: Any) -> Any:
        return F.conv2d(x, torch.sign(self.weight), self.bias, self.stride, self.padding)


class Apply(nn.Module):  # type: ignore[misc]
    """A function as a module."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def drawn(module: Any) -> Any:
    """``module`` with random statistics, gammas of both signs among them."""
    torch.manual_seed(0)
    for one in module.modules():
        if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(one.weight, -1, 1)
            nn.init.normal_(one.bias)
            nn.init.normal_(one.running_mean)
            nn.init.uniform_(one.running_var, 1, 4)
    return module


@pytest.mark.parametrize("kind", SIGNS)
def test_every_spelling_of_a_quantizer(kind: str) -> None:
    act = Apply(SIGNS[kind])
    module = drawn(
        nn.Sequential(
            nn.Flatten(), Dense(16, 12), nn.BatchNorm1d(12), act, Dense(12, 8), nn.BatchNorm1d(8),
            nn.Hardtanh(), act, Dense(8, 4),
        )
    )  # fmt: skip
    x = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (200, 1, 4, 4)) / 255).float()
    model = convert_module(module, example=x, input="unit").model
    with torch.no_grad():
        wanted = module.eval()(x).numpy()
    found = bnn.Classifier(model, "reference").logits(x.numpy().transpose(0, 2, 3, 1))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_convolutions() -> None:
    act = Apply(SIGNS["clamped"])
    module = drawn(
        nn.Sequential(
            Conv(2, 6, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(6), act,
            Conv(6, 6, 3), nn.BatchNorm2d(6), nn.Hardtanh(), act, nn.Flatten(), Dense(24, 3),
            nn.LogSoftmax(1),
        )
    )  # fmt: skip
    x = torch.from_numpy(np.random.default_rng(1).choice([-1.0, 1.0], (50, 2, 8, 8))).float()
    found = convert_module(module, ["a", "b", "c"], example=x, input="bipolar")
    with torch.no_grad():
        wanted = module.eval()(x).numpy().argmax(1)
    answers = bnn.Classifier(found.model, "reference").classify(x.numpy().transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(answers, wanted)
    assert found.model.classes == ("a", "b", "c")


def test_training_mode_is_kept() -> None:
    module = nn.Sequential(Dense(4, 3))
    assert convert_module(module, example=np.ones((1, 4)), input="bipolar").network is not None
    assert module.training


def test_what_is_not_in_the_trace_is_refused() -> None:
    """BinaryNet.pytorch changes the numbers of its input while it runs."""

    class Hidden(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = Dense(8, 3)

        def forward(self, x: Any) -> Any:
            x = torch.sign(x)
            y = self.inner(x)
            return y * (2.0 if torch.onnx.is_in_onnx_export() else 1.0)

    with pytest.raises(FormatError, match="Hidden: its own answers differ"):
        convert_module(Hidden(), example=np.ones((3, 8)), input="bipolar")


def test_signs_by_a_change_of_data_are_lost_in_an_export() -> None:
    """As BinaryNet.pytorch takes them."""

    class Lost(Dense):
        def forward(self, x: Any) -> Any:
            x.data = torch.sign(x.data)
            return F.linear(x, torch.sign(self.weight), self.bias)

    module = nn.Sequential(Dense(8, 6), nn.BatchNorm1d(6), nn.Hardtanh(), Lost(6, 3))
    with pytest.raises(FormatError, match="hard tanh that nothing quantizes"):
        convert_module(module, example=np.ones((3, 8)), input="bipolar")


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (nn.GELU(), "cannot be converted"),
        (nn.LSTM(8, 8), "cannot be"),
        (Apply(lambda x: x * torch.sign(x)), "cannot be converted|neither rises nor falls"),
    ],
)
def test_what_cannot_be_converted_is_named(layer: Any, told: str) -> None:
    module = nn.Sequential(Dense(8, 8), layer, Dense(8, 3))
    with pytest.raises(FormatError, match=f"^Sequential: .*{told}"):
        convert_module(module, example=np.ones((3, 8)), input="bipolar")


def test_without_an_example() -> None:
    with pytest.raises(FormatError, match="example="):
        convert_module(nn.Sequential(Dense(4, 3)))
