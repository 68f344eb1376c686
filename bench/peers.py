# SPDX-License-Identifier: BSD-3-Clause
"""Other engines that a user might choose, on the same topologies.

Each gets the network in its usual form: float32 convolutions and dense layers with a clipped
activation, and the same quantized to int8 (QDQ, weights symmetric per channel). One thread each,
unless more are given. An engine that is not installed is named and skipped, and so is LiteRT
without the models that ``litert_models.py`` writes.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ENGINES = ("torch-f32", "ort-f32", "ort-int8", "openvino-f32", "openvino-int8", "litert-int8")
MODULES = {
    "torch": "torch",
    "ort": "onnxruntime",
    "openvino": "openvino",
    "litert": "ai_edge_litert",
}
#: Environment variable with the folder that ``litert_models.py`` wrote.
LITERT = "BNN_LITERT"

#: (outputs, whether a pool follows) per layer; -1: here the map becomes a vector.
CONVOLUTIONS = [(64, False), (64, True), (128, False), (128, True), (256, False), (256, False)]

Run = Callable[[Any], Any]


def available(engine: str) -> bool:
    """Return whether the engine is installed; for LiteRT, also whether its models exist."""
    if engine.startswith("litert") and LITERT not in os.environ:
        return False
    return importlib.util.find_spec(MODULES[engine.split("-")[0]]) is not None


def runner(engine: str, topology: str, batch: int, threads: int) -> tuple[Run, Any]:
    """Return a function that runs one batch, and its argument; ``topology``: ``cnv`` or ``lfc``."""
    shape = (batch, 3, 32, 32) if topology == "cnv" else (batch, 784)
    inputs = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    if engine == "torch-f32":
        return _torch(topology, threads), inputs
    if engine == "litert-int8":
        last = inputs.transpose(0, 2, 3, 1) if topology == "cnv" else inputs
        path = Path(os.environ[LITERT]) / f"{topology}.tflite"
        return _litert(path, last.shape, threads), np.ascontiguousarray(last)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        _export(topology, path)
        if engine.endswith("int8"):
            path = _quantize(path, inputs.shape[1:], Path(folder) / "int8.onnx")
        run = (_ort if engine.startswith("ort") else _openvino)(path, threads)
    return run, inputs


def layers_of(topology: str) -> list[tuple[str, tuple[int, ...], bool]]:
    """Return the kind, the weights' shape and whether a pool follows, for each layer."""
    layers: list[tuple[str, tuple[int, ...], bool]] = []
    if topology == "cnv":
        channels = 3
        for rows, pool in CONVOLUTIONS:
            layers.append(("conv", (rows, channels, 3, 3), pool))
            channels = rows
        dense = [(512, 256), (512, 512), (10, 512)]
    else:
        dense = [(1024, 784), (1024, 1024), (1024, 1024), (10, 1024)]
    return [*layers, *(("dense", shape, False) for shape in dense)]


def weights_of(shape: tuple[int, ...], seed: int) -> Any:
    return np.random.default_rng(seed).choice(np.float32([-1, 1]), shape)


def _export(topology: str, path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    layers = layers_of(topology)
    nodes, constants, last = [], [], "x"
    for value, number in ((-1.0, "low"), (1.0, "high")):
        constants.append(numpy_helper.from_array(np.float32(value), number))
    for i, (kind, shape, pool) in enumerate(layers):
        scale = np.float32(1 / np.sqrt(np.prod(shape[1:])))
        constants.append(numpy_helper.from_array(weights_of(shape, i) * scale, f"w{i}"))
        constants.append(numpy_helper.from_array(np.zeros(shape[0], np.float32), f"b{i}"))
        if kind == "dense" and i and layers[i - 1][0] == "conv":
            nodes.append(helper.make_node("Flatten", [last], ["flat"]))
            last = "flat"
        call = [last, f"w{i}", f"b{i}"]
        if kind == "conv":
            nodes.append(helper.make_node("Conv", call, [f"y{i}"], kernel_shape=[3, 3]))
        else:
            nodes.append(helper.make_node("Gemm", call, [f"y{i}"], transB=1))
        last = f"y{i}"
        if pool:
            two = {"kernel_shape": [2, 2], "strides": [2, 2]}
            nodes.append(helper.make_node("MaxPool", [last], [f"p{i}"], **two))
            last = f"p{i}"
        if i + 1 < len(layers):
            nodes.append(helper.make_node("Clip", [last, "low", "high"], [f"a{i}"]))
            last = f"a{i}"
    shape = ["N", 3, 32, 32] if topology == "cnv" else ["N", 784]
    graph = helper.make_graph(
        nodes,
        topology,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", 10])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def _quantize(path: Path, shape: tuple[int, ...], to: Path) -> Path:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            random = np.random.default_rng(1)
            self.batches = iter(
                [{"x": random.uniform(-1, 1, (8, *shape)).astype(np.float32)} for _ in range(4)]
            )

        def get_next(self) -> Any:
            return next(self.batches, None)

    quantize_static(
        path,
        to,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return to


def _torch(topology: str, threads: int) -> Run:
    import torch

    torch.set_num_threads(threads)
    modules: list[Any] = []
    layers = layers_of(topology)
    for i, (kind, shape, pool) in enumerate(layers):
        if kind == "dense" and i and layers[i - 1][0] == "conv":
            modules.append(torch.nn.Flatten())
        conv = kind == "conv"
        module = torch.nn.Conv2d(shape[1], shape[0], 3) if conv else torch.nn.Linear(*shape[::-1])
        module.weight.data = torch.from_numpy(weights_of(shape, i))
        modules.append(module)
        if pool:
            modules.append(torch.nn.MaxPool2d(2))
        if i + 1 < len(layers):
            modules.append(torch.nn.Hardtanh())
    model = torch.nn.Sequential(*modules).eval()

    def run(inputs: Any) -> Any:
        with torch.inference_mode():
            return model(torch.from_numpy(inputs)).numpy()

    return run


def _ort(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {"x": inputs})[0]


def _openvino(path: Path, threads: int) -> Run:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda inputs: request.infer({0: inputs}, share_inputs=True)[0]


def _litert(path: Path, shape: tuple[int, ...], threads: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)  # with XNNPACK, its default
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, shape)
    interpreter.allocate_tensors()
    result = interpreter.get_output_details()[0]["index"]

    def run(inputs: Any) -> Any:
        interpreter.set_tensor(place, inputs)
        interpreter.invoke()
        return interpreter.get_tensor(result)

    return run
