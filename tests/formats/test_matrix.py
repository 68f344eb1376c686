# SPDX-License-Identifier: BSD-3-Clause
"""Tiny networks of every quantizer, layer kind, padding and order: the framework's own answers.

``fixtures/keras/matrix-*.tar.xz`` hold what Larq, QKeras and Keras made and answered. Each is
either converted with equal classes and logits, or refused with a line that names the layer; which
of the two is told here, so that nothing becomes refused, or converted, unseen.
"""

from __future__ import annotations

import io
import tarfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnn
from bnn.errors import BnnError
from bnn.formats.convert import Options, convert
from support.converted import FIXTURES

#: Of the largest logit: how far float32 sums of a framework may be off.
RELATIVE = 1e-5


def differing(path: Path, inputs: Any, logits: Any, given: str | None) -> int:
    """Rows whose class or logits are not the framework's."""
    beside = path.with_suffix(".json")
    architecture = str(beside) if beside.exists() else None
    model = convert(path, None, Options(topology=architecture, input=given)).model
    inputs = inputs.reshape(len(inputs), *model.program.input.shape)  # signals: maps of one row
    found = bnn.Classifier(model, "reference").logits(inputs)
    if logits.shape[1] == 1:
        logits = np.concatenate([-logits, logits], axis=1)
    close = np.abs(found - logits).max(1) <= RELATIVE * max(1e-2, np.abs(logits).max())
    first = logits.max(1) - np.take_along_axis(logits, found.argmax(1)[:, None], 1)[:, 0]
    return int((~close | (first > RELATIVE * np.abs(logits).max())).sum())


def outcomes(archive: str, tmp_path: Path) -> dict[str, str]:
    """ "equal", "n differ", or the refusal, of every network in ``archive``."""
    with tarfile.open(FIXTURES / "keras" / archive) as packed:
        files = {
            member.name: packed.extractfile(member).read()  # type: ignore[union-attr]
            for member in packed.getmembers()
        }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = {}
    for name in files:
        if name.endswith((".npz", ".json")):
            continue
        path = tmp_path / name
        with np.load(io.BytesIO(files[f"{path.stem}.npz"])) as arrays:
            inputs, logits = arrays["inputs"], arrays["logits"]
            given = bytes(arrays["given"]).decode() if "given" in arrays else None
        try:
            wrong = differing(path, inputs, logits, given)
            found[path.stem] = "equal" if not wrong else f"{wrong} of {len(inputs)} differ"
        except BnnError as error:
            line = str(error)
            assert "\n" not in line
            assert line.startswith(f"{path}: ")
            found[path.stem] = line.removeprefix(f"{path}: ")
    return found


#: Networks that are refused, and what the line names.
REFUSED_LARQ = {
    "conv-*-terntwn": "ternary_weight_networks is for weights",
    "dense-terntwn": "ternary_weight_networks is for weights",
    "*-dorefaw": "activation 'dorefa_quantizer'",
    "conv-*-magnitude": "magnitude_aware_sign is for weights",
    "dense-magnitude": "magnitude_aware_sign is for weights",
    "conv-both-sign": "ZeroPadding2D pads with",
    "conv-both-approx": "ZeroPadding2D pads with",
    "conv-both-swish": "ZeroPadding2D pads with",
    "conv-bothone-none": "ZeroPadding2D pads with",
    "conv-bothone-tern": "ZeroPadding2D pads with",
    "depth2-both-sign": "ZeroPadding2D pads with",
    "depth-bothone-tern": "ZeroPadding2D pads with",
    "kernel-*-dorefaa": "dorefa_quantizer in the mode 'activations' as kernel quantizer",
    "transpose": "(QuantConv2DTranspose)",
    "local": "(QuantLocallyConnected2D)",
    "activation-leaky_tanh": "'leaky_tanh'",
    "activation-elu": "'elu'",
    "activation-sigmoid": "'sigmoid'",
}
REFUSED_KERAS3 = {
    "conv-leaky": "'leaky_relu'",
    "conv-half": "mixed_float16",
    "conv-bfloat": "bfloat16",
    "conv-double": "float64",
    "norm-rows": "axis [1]",
    "*-relu-slope": "negative_slope",
    "*-relu-threshold": "threshold",
    "*-cropping": "(Cropping2D)",
    "*-permute": "(Permute)",
    "*-upsampling": "(UpSampling2D)",
    "then-softmax": "after softmax",
    "sign-softmax": "follows a softmax",
    "zeros-before-even": "follows zero padding",
    "zeros-before-lopsided": "follows zero padding",
    "zeros-pool-even": "follows zero padding",
    "zeros-pool-lopsided": "follows zero padding",
    "pool-falling-pool": "a negative factor is between two max pools",
    "falling-one": "a single output must be that of a dense layer",
    "rescaled-falling": "(Rescaling)",
    "rescaled-norm-falling": "(Rescaling)",
    "rescaled-channels": "(Rescaling)",
    "normalized": "(Normalization)",
    "nested": "(Sequential)",
    "training": "'training' True",
    "shared": "is used 2 times",
    "two-outputs": "exactly one output",
    "multiplied": "(Multiply)",
}


#: More than 16 bits, what follows from a batch's own values or from chance, and real products.
REFUSED_QKERAS = {
    "*-po2quadratic": "quantized_po2 with quadratic_approximation",
    "*-bernoulli": "'bernoulli'",
    "act-bitsauto": "takes its scale from all values of a batch",
    "input-bitsauto": "takes its scale from all values of a batch",
    "bias-auto": "takes its scale from all values of a batch",
    "*-hswish": "'quantized_hswish'",
    "*-ulaw": "'quantized_ulaw'",
    "act-po2": "has 513 values",
    "input-po2": "has 513 values",
    "noise": "qnoise_factor 0.5",
}


@pytest.mark.parametrize(
    ("archive", "refused", "least"),
    [
        ("matrix-larq.tar.xz", REFUSED_LARQ, 200),
        ("matrix-keras3.tar.xz", REFUSED_KERAS3, 67),
        ("matrix-qkeras.tar.xz", REFUSED_QKERAS, 165),
    ],
)
def test_matrix(archive: str, refused: dict[str, str], least: int, tmp_path: Path) -> None:
    found = outcomes(archive, tmp_path)
    unlike = {}
    for name, outcome in found.items():
        wanted = next((line for pattern, line in refused.items() if fnmatch(name, pattern)), None)
        if not (outcome == "equal" if wanted is None else wanted in outcome):
            unlike[name] = outcome
    assert not unlike
    assert sum(outcome == "equal" for outcome in found.values()) >= least
    for pattern in refused:
        assert any(fnmatch(name, pattern) for name in found), pattern
