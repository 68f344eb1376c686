# SPDX-License-Identifier: BSD-3-Clause
"""Write the networks that LiteRT runs: ``python bench/litert_models.py FOLDER``.

TensorFlow converts them, in an environment of its own: its packages do not go together with
those of the other engines. Then ``BNN_LITERT=FOLDER make bench`` runs ``FOLDER/cnv.tflite`` and
``FOLDER/lfc.tflite``, if ai-edge-litert is installed. The networks are those of ``peers.py``,
with weights and activations of int8, the channels last, and float32 at both ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf  # type: ignore[import-not-found]
from peers import layers_of, weights_of


def converted(topology: str) -> bytes:
    """Return the file of a network; ``topology``: ``cnv`` or ``lfc``."""
    shape = (32, 32, 3) if topology == "cnv" else (784,)
    layers = layers_of(topology)

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.float32)])  # type: ignore[misc]
    def network(x: Any) -> Any:
        for i, (kind, size, pool) in enumerate(layers):
            values = weights_of(size, i) * np.float32(1 / np.sqrt(np.prod(size[1:])))
            bias = tf.zeros(size[0])
            if kind == "conv":
                x = tf.nn.conv2d(x, values.transpose(2, 3, 1, 0), 1, "VALID") + bias
            else:
                x = tf.reshape(x, (-1, size[1])) @ values.T + bias
            if pool:
                x = tf.nn.max_pool2d(x, 2, 2, "VALID")
            if i + 1 < len(layers):
                x = tf.clip_by_value(x, -1.0, 1.0)
        return x

    def samples() -> Iterator[list[Any]]:
        random = np.random.default_rng(1)
        for _ in range(32):
            yield [random.uniform(-1, 1, (1, *shape)).astype(np.float32)]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return bytes(converter.convert())


def main() -> None:
    """Write both files."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for topology in ("cnv", "lfc"):
        (folder / f"{topology}.tflite").write_bytes(converted(topology))


if __name__ == "__main__":
    main()
