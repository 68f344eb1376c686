# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch checkpoints: Brevitas' bnn_pynq networks (TFC, SFC, LFC, CNV), and others by a topology.

The quantizers of the bnn_pynq networks have constant scales, so the tensors of the state and the
numbers of bits are enough to build the network. A live module of these networks is read in the
same way. Other states need a topology (:mod:`bnn.formats.brevitas.state`). Other Brevitas modules
are exported to QONNX, and the QONNX file is read by :mod:`bnn.formats.qonnx.read`.

Layers of TFC, SFC and LFC: 2x - 1, quantizer, three times (dense, batch norm, quantizer), dense,
tensor norm. Layers of CNV: 2x - 1, 8-bit quantizer, six convolutions and two dense layers with
batch norm and quantizer each, dense, tensor norm. A module number that is missing after a
convolution's quantizer is a max pool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BnnError, FormatError, NetworkError
from bnn.formats.brevitas import state as state_of_any
from bnn.formats.brevitas import torch_file
from bnn.formats.brevitas.live import check
from bnn.formats.grids import real_input
from bnn.formats.report import Converted, Report
from bnn.formats.stack import Stack
from bnn.formats.weights import Weights, signs, whole
from bnn.network import zoo
from bnn.network.network import (
    Activation,
    BatchNorm,
    Conv2d,
    Flatten,
    Lattice,
    Linear,
    MaxPool,
    Network,
    Quantize,
    Scale,
    Sign,
)
from bnn.network.topology import Topology
from bnn.program.inputs import RealInput
from bnn.program.precision import BIPOLAR, INT

State = Mapping[str, NDArray[Any]]

#: Shape of the pictures: 32x32 for CNV, 28x28 for FC with 784 inputs.
_SIDES = {"conv": 32, "features": 28}
_EPSILON = {"features": 1e-5, "conv_features": 1e-4, "linear_features": 1e-4}
_TENSOR_NORM_EPSILON = 1e-4
_KEYS = ("bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Bits:
    """Bits of weights and activations (1 or 2), and of the input (1, 2 or 8)."""

    weights: int
    activations: int
    input: int


#: Keys under which training scripts keep a state dictionary, or a list of one.
_PLACES = ("state_dict", "model_state_dict", "models_state_dict", "model", "net")


def read(
    path: str | Path,
    network: str | Topology | None = None,
    given_input: str | None = None,
) -> Converted:
    """Read the network in a checkpoint.

    Args:
        path: a file of ``torch.save``: a state dictionary, or a dictionary that has the state
            dictionary under ``state_dict``.
        network: the network's topology, or the name of a bnn_pynq network (``cnv-w1a1``,
            ``TFC_1W1A``), which defines the bits. By default the file's name must contain the
            name of a bnn_pynq network.
        given_input: only if ``network`` is a topology: the values that occur at the input, a name
            of :func:`bnn.formats.grids.grid`.

    Raises:
        FormatError: the file is damaged, or its network is not known: ``network`` is not given and
            the file's name contains no name of a bnn_pynq network.
    """
    path = Path(path)
    report = Report("PyTorch" if isinstance(network, Topology) else "Brevitas")
    held = _dictionary(torch_file.read(path), report)
    if held is None:
        raise FormatError(f"{path}: has no state dictionary")
    try:
        if isinstance(network, Topology):
            return state_of_any.converted(_state(held), network, report, given_input)
        bits = _named_bits(path, network, held)
        if given_input is not None:
            raise FormatError(
                "this network quantizes its input: remove --input, which is for a state with a "
                "topology in TOML"
            )
        if network is None:
            report.lost.append(
                f"the file's name says {bits.weights} bits for weights and {bits.activations} for "
                "activations; nothing in the file does"
            )
        return _converted(_state(held), bits, report)
    except (FormatError, NetworkError) as error:
        raise type(error)(f"{path}: {error}") from None


def _dictionary(held: Any, report: Report) -> Mapping[Any, Any] | None:
    """Return the state dictionary: one of the entries ``_PLACES`` of the file, or the whole file.

    Return None if the file does not contain a dictionary.
    """
    if not isinstance(held, dict):
        return None
    for place in _PLACES:
        inner = held.get(place)
        inner = inner[0] if isinstance(inner, list) and len(inner) == 1 else inner
        if isinstance(inner, dict):
            report.ignored += [str(key) for key in held if key != place]
            return inner
    return held


def _state(held: Mapping[Any, Any]) -> State:
    """Return the tensors by name, in float32 as PyTorch loads them; refuse everything else."""
    state: dict[str, NDArray[Any]] = {}
    for key, value in held.items():
        name = key.removeprefix("module.") if isinstance(key, str) else repr(key)
        if not isinstance(value, np.ndarray):
            raise FormatError(
                f"{name!r} in the state is not a plain tensor; it cannot be converted"
            )
        if name in state:
            raise FormatError(f"two tensors are called {name!r}")
        if value.dtype.kind not in "fiu":
            raise FormatError(f"tensor {name!r} holds {value.dtype}, not real numbers")
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused as not finite
            state[name] = value.astype(np.float32)
    return state


def from_module(module: Any) -> Converted:
    """Return the network of a live bnn_pynq module, which has its bits as attributes.

    Raises:
        FormatError: the module is not one of Brevitas' bnn_pynq networks.
    """
    check(module, _EPSILON, _TENSOR_NORM_EPSILON)
    state = _state(
        {
            name: np.asarray(tensor.detach().cpu().numpy())
            for name, tensor in module.state_dict().items()
        }
    )
    weights = [_bits_of(m.weight_quant) for m in module.modules() if hasattr(m, "weight_quant")]
    acts = [_bits_of(m.act_quant) for m in module.modules() if hasattr(m, "act_quant")]
    if not weights or len(acts) < 2:
        raise FormatError(
            "the module is not one of Brevitas' bnn_pynq networks; export it to QONNX"
        )
    if len(set(weights)) > 1 or len(set(acts[1:])) > 1:
        raise FormatError(
            f"the module has layers of different bits (weights {weights}, activations {acts}); "
            "export it to QONNX"
        )
    return _converted(state, Bits(weights[0], acts[1], acts[0]), Report("Brevitas"))


def _bits_of(quantizer: Any) -> int:
    width = quantizer.bit_width()
    if width is None:
        raise FormatError("the module has a layer that is not quantized")
    return int(width)


def _named_bits(path: Path, network: str | None, held: Mapping[Any, Any]) -> Bits:
    for name in (
        [network] if network else [path.stem, *path.stem.split("-"), path.stem.split(".")[0]]
    ):
        try:
            spelled = zoo.canonical(name)
        except BnnError:
            continue
        weights, acts = int(spelled[5]), int(spelled[7])
        return Bits(weights, acts, 8 if spelled.startswith("cnv") else acts)
    raise FormatError(_unknown(held))


def _unknown(held: Mapping[Any, Any]) -> str:
    """Return a message that says what the user can do with a state of an unknown network."""
    own = any(isinstance(key, str) and key.split(".")[0] in _EPSILON for key in held)
    if own:
        return (
            "the file does not tell how many bits weights and activations have; name its network "
            "(such as cnv-w1a1) as --topology"
        )
    scale = next((key for key in held if isinstance(key, str) and "_quant." in key), None)
    if scale is not None:
        return (
            f"its quantizers have learned parameters ({scale}), and the file does not tell their "
            "bits and kinds: no topology can; export it with brevitas.export.export_qonnx, or give "
            "the live module to bnn.formats.convert.convert_module"
        )
    return (
        "the file does not tell the order of its layers, their padding, pools and activations; "
        "give a TOML file of them as --topology (docs/converting.md), or the live module to "
        "bnn.formats.convert.convert_module"
    )


# --- state to network ----------------------------------------------------------------


def _converted(state: State, bits: Bits, report: Report) -> Converted:
    modules = _modules(state, report)
    reader = _Reader(modules, bits, report)
    return reader.converted()


#: Place of a module in its list; 02 would be another name of the same place.
_PLACE = re.compile("0|[1-9][0-9]{0,5}")
Module = tuple[str, int, dict[str, NDArray[Any]]]


def _modules(state: State, report: Report) -> list[Module]:
    """Return the modules in the order in which they run.

    Each is a tuple: name of the module list, number in this list, tensors by name.
    """
    found: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}
    for key, value in state.items():
        part = key.split(".")
        known = len(part) == 3 and part[0] in _EPSILON and bool(_PLACE.fullmatch(part[1]))
        if not known or (part[2] != "weight" and part[2] not in _KEYS):
            if known and part[2] == "num_batches_tracked":
                report.ignored.append(key)
                continue
            raise FormatError(
                f"tensor {key!r} belongs to none of Brevitas' bnn_pynq networks; export to QONNX"
            )
        found.setdefault((part[0], int(part[1])), {})[part[2]] = value
    order = list(_EPSILON)
    return [
        (*place, found[place]) for place in sorted(found, key=lambda p: (order.index(p[0]), p[1]))
    ]


class _Reader:
    def __init__(self, modules: list[Module], bits: Bits, report: Report) -> None:
        self.modules = modules
        self.bits = bits
        self.report = report
        self.stack = Stack()

    def converted(self) -> Converted:
        given, lattice, shape = self._input()
        for index, (where, number, tensors) in enumerate(self.modules):
            name = f"{where}.{number}"
            weight = tensors.get("weight")
            if weight is None:
                raise FormatError(f"tensor {name}.weight is missing")
            if weight.ndim == 4:
                shape = self._conv(name, tensors, shape)
            elif weight.ndim == 2:
                shape = self._dense(name, tensors, shape)
            elif index == len(self.modules) - 1:
                self._tensor_norm(name, tensors)
            else:
                self._norm(name, tensors, shape, _EPSILON[where])
                shape = self._act(where, number, index, shape)
        return Converted(Network(given, tuple(self.stack.layers), lattice), self.report)

    def _input(self) -> tuple[RealInput, Lattice, tuple[int, int, int]]:
        first = self.modules[0][2].get("weight") if self.modules else None
        if first is None or first.ndim not in (2, 4):
            raise FormatError("the first module must be a convolution or a dense layer")
        if first.ndim == 4:
            shape: tuple[int, ...] = (32, 32, int(first.shape[1]))
        else:
            shape = (28, 28, 1) if first.shape[1] == 784 else (int(first.shape[1]),)
        # x in [0, 1]; 2x - 1 is quantized on [-1, 1], or [-1, 1) in 8 bits.
        bits = self.bits.input
        if bits == 1:
            given, scale = real_input(shape, BIPOLAR, 0.5, -1), 1.0
        else:
            high = (1 << (bits - 1)) - (bits != 8)
            precision = INT(bits) if bits == 8 else INT(bits, narrow=True)
            given, scale = real_input(shape, precision, 1 / (2 * high), -high), 1.0 / high
        self.report.used("input", f"{given.precision} of shape {shape}")
        height, width, channels = shape if len(shape) == 3 else (1, 1, *shape)
        return given, Lattice(scale), (height, width, channels)

    def _quantized(self, name: str, latent: NDArray[Any]) -> Weights:
        if not np.isfinite(latent).all():
            raise FormatError(f"tensor {name}.weight holds values that are not finite")
        if self.bits.weights == 1:
            return signs(latent)
        high = (1 << (self.bits.weights - 1)) - 1
        integers = np.clip(np.rint(latent * np.float32(high)), -high, high)
        return whole(integers, np.full(1, 1 / high), -high, high)

    def _only(self, name: str, tensors: dict[str, NDArray[Any]], wanted: set[str]) -> None:
        for key in wanted - set(tensors):
            raise FormatError(f"tensor {name}.{key} is missing")
        for key in set(tensors) - wanted:
            raise FormatError(f"tensor {name}.{key} is not used")

    def _conv(
        self, name: str, tensors: dict[str, NDArray[Any]], shape: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        self._only(name, tensors, {"weight"})
        weights = self._quantized(name, tensors["weight"].transpose(0, 2, 3, 1))
        out, height, width, channels = weights.integers.shape
        if channels != shape[2]:
            raise FormatError(f"tensor {name}.weight is for {channels} channels, not {shape[2]}")
        self.stack.add(
            Conv2d(self.stack.name(name), weights.integers, weights.precision, weights.scale)
        )
        self._used(name, f"convolution, {weights.precision} weights", tensors)
        return (shape[0] - height + 1, shape[1] - width + 1, out)

    def _dense(
        self, name: str, tensors: dict[str, NDArray[Any]], shape: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        self._only(name, tensors, {"weight"})
        latent, count = tensors["weight"], shape[0] * shape[1] * shape[2]
        if latent.shape[1] != count:
            raise FormatError(f"tensor {name}.weight is for {latent.shape[1]} inputs, not {count}")
        if shape[:2] != (1, 1):
            self.stack.add(Flatten(self.stack.name("flatten")))
            maps = latent.reshape(-1, shape[2], shape[0], shape[1])
            latent = maps.transpose(0, 2, 3, 1).reshape(len(latent), -1)
        weights = self._quantized(name, latent)
        self.stack.add(
            Linear(self.stack.name(name), weights.integers, weights.precision, weights.scale)
        )
        self._used(name, f"dense, {weights.precision} weights", tensors)
        return (1, 1, len(latent))

    def _norm(
        self,
        name: str,
        tensors: dict[str, NDArray[Any]],
        shape: tuple[int, int, int],
        epsilon: float,
    ) -> None:
        self._only(name, tensors, {"weight", *_KEYS})
        weight, bias, mean, variance = (tensors[key] for key in ("weight", *_KEYS))
        if any(value.shape != (shape[2],) for value in tensors.values()):
            raise FormatError(f"tensors of {name} are not for {shape[2]} channels")
        unique = self.stack.name(name)
        self.stack.add(BatchNorm.from_variance(unique, weight, bias, mean, variance, epsilon))
        self._used(name, f"batch norm, epsilon {epsilon:g}", tensors)

    def _tensor_norm(self, name: str, tensors: dict[str, NDArray[Any]]) -> None:
        self._only(name, tensors, {"weight", *_KEYS})
        if any(value.size != 1 for value in tensors.values()):
            raise FormatError(f"each tensor of {name} must have one value")
        weight, bias, mean, variance = (float(tensors[key].item()) for key in ("weight", *_KEYS))
        factor = weight / np.sqrt(variance + _TENSOR_NORM_EPSILON)
        self.stack.add(Scale(self.stack.name(name), factor, bias - mean * factor))
        self._used(name, "tensor norm", tensors)

    def _act(
        self, where: str, number: int, index: int, shape: tuple[int, int, int]
    ) -> tuple[int, int, int]:
        name = self.stack.name(f"{where}.{number + 1}")
        bits = self.bits.activations
        made: Activation = Sign(name)
        if bits != 1:
            high = (1 << (bits - 1)) - 1
            made = Quantize(name, INT(bits, narrow=True), 1.0 / high)
        self.stack.add(made)
        self.report.used(name, f"quantizer, {bits} bits")
        following = self.modules[index + 1][:2] if index + 1 < len(self.modules) else ("", 0)
        if where == "conv_features" and following == (where, number + 3):
            pool = self.stack.name(f"{where}.{number + 2}")
            self.stack.add(MaxPool(pool, (2, 2), (2, 2)))
            self.report.used(pool, "max pool 2x2")
            return (shape[0] // 2, shape[1] // 2, shape[2])
        return shape

    def _used(self, name: str, what: str, tensors: dict[str, NDArray[Any]]) -> None:
        self.report.used(name, what, {f"{name}.{key}": value for key, value in tensors.items()})
