# SPDX-License-Identifier: BSD-3-Clause
"""Made-up parameter sets of the original's five networks, as its tools would write them."""

from __future__ import annotations

import io
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bnn.formats.bnn_pynq import NETWORKS, Layer, OriginalNetwork

CLASSES = 10


@cache
def made(network: str, seed: int = 0) -> dict[str, bytes]:
    """A parameter set of random bits, as the original's tools would write one."""
    random = np.random.default_rng(seed)
    made = NETWORKS[network]
    files = {"classes.txt": "\r\n".join(f"class {c}" for c in range(CLASSES)).encode()}
    for index, layer in enumerate(made.layers):
        for pe in range(layer.pe):
            codes = _random_words(random, made, layer)
            files[f"{index}-{pe}-weights.bin"] = codes.astype("<u8").tobytes()
            count = layer.neuron_fold * made.levels(index)
            if count:
                values = random.integers(-40, layer.columns, count)
                files[f"{index}-{pe}-thres.bin"] = values.astype("<i8").tobytes()
    return files


def _random_words(random: Any, network: OriginalNetwork, layer: Layer) -> Any:
    bits = network.weight_bits
    codes = random.choice([0, 1] if bits == 1 else [0, 1, 3], (layer.weight_words, layer.simd))
    lanes = np.arange(layer.simd, dtype=np.uint64) * np.uint64(bits)
    return (codes.astype(np.uint64) << lanes).sum(axis=1, dtype=np.uint64)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def archive(path: Path, files: dict[str, bytes], mode: Any, folder: str = "any/where/") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path
