# SPDX-License-Identifier: BSD-3-Clause
"""Networks that Theano trained (fixtures/theano/make.py): its answers and ours are the same."""

from pathlib import Path

import numpy as np
import pytest

from bnn.data import idx
from bnn.formats.theano import archive as theano_npz
from bnn.network.topology import load
from bnn.run import reference

FIXTURES = Path(__file__).parents[2] / "fixtures" / "theano"


@pytest.fixture(scope="module")
def digits(data_dir: Path) -> np.ndarray:
    """The first 1000 test images of MNIST, uint8 (1000, 28, 28, 1)."""
    path = data_dir / "mnist" / "t10k-images-idx3-ubyte.gz"
    if not path.is_file():
        pytest.skip("no MNIST in BNN_DATA")
    return idx.read_images(path)[:1000].reshape(-1, 28, 28, 1)


@pytest.mark.parametrize("name", ["tfc-1w-1a", "tfc-1w-2a", "small", "flipped"])
def test_same_scores_and_classes(name: str, digits: np.ndarray) -> None:
    stack = None if name.startswith("tfc") else load(FIXTURES / f"{name}.toml")
    model = theano_npz.load(FIXTURES / f"{name}.npz", stack, flipped=name == "flipped")
    with np.load(FIXTURES / f"{name}.answers.npz", allow_pickle=False) as archive:
        answers = archive["logits"]
    scores = reference.prepare(model.program).run(model.program.input.check(digits)).scores
    affine = model.program.affine
    assert (affine.logits(scores).argmax(axis=1) == answers.argmax(axis=1)).sum() == 1000
    theirs = (answers.astype(np.float64) - affine.offset) / affine.scale
    np.testing.assert_array_equal(np.rint(theirs), scores)
    assert np.abs(theirs - scores).max() < 0.01  # float32 logits say which whole numbers they are
