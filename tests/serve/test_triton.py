# SPDX-License-Identifier: BSD-3-Clause
"""The protocol's client that somebody else wrote, with its defaults (extra serve-test)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bnn

if TYPE_CHECKING:
    from .conftest import Running

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def triton() -> Any:
    return pytest.importorskip("tritonclient.http", reason="needs the extra serve-test")


def test_scores_equal_the_reference(server: Running, triton: Any) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    for name in ("lfc-w1a1", "cnv-w1a1"):
        assert client.is_model_ready(name)
        told = client.get_model_metadata(name)
        shape = [100, *told["inputs"][0]["shape"][1:]]
        images = np.random.default_rng(8).integers(0, 256, shape, np.uint8)
        given = triton.InferInput("input", shape, told["inputs"][0]["datatype"])
        given.set_data_from_numpy(images)
        found = client.infer(name, [given])
        reference = bnn.Classifier(name, "reference")
        scores, classes = reference.run(images)
        np.testing.assert_array_equal(found.as_numpy("scores"), scores)
        np.testing.assert_array_equal(found.as_numpy("classes"), classes)
        np.testing.assert_array_equal(found.as_numpy("logits"), reference.logits(images))
        labels = [label.decode() for label in found.as_numpy("labels")]
        assert labels == [reference.classes[index] for index in classes]
    client.close()


def test_each_form_of_inputs_and_outputs(server: Running, triton: Any) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    images = np.random.default_rng(8).integers(0, 256, (3, 28, 28, 1), np.uint8)
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(images)
    for binary_in in (True, False):
        for binary_out in (True, False):
            given = triton.InferInput("input", images.shape, "UINT8")
            given.set_data_from_numpy(images, binary_data=binary_in)
            wanted = [
                triton.InferRequestedOutput("scores", binary_data=binary_out),
                triton.InferRequestedOutput("labels", binary_data=not binary_out),
            ]
            found = client.infer("lfc-w1a1", [given], outputs=wanted, request_id="7",
                                 model_version="1")  # fmt: skip
            np.testing.assert_array_equal(found.as_numpy("scores"), expected)
            assert found.get_response()["id"] == "7"
    client.close()


def test_pictures(server: Running, triton: Any) -> None:
    files = sorted((Path(bnn.__file__).parent / "samples" / "cifar10").glob("*.png"))[:3]
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    given = triton.InferInput("pictures", [len(files)], "BYTES")
    given.set_data_from_numpy(np.array([file.read_bytes() for file in files], np.object_))
    found = client.infer("cnv-w1a1", [given])
    expected = bnn.Classifier("cnv-w1a1", "reference").scores(files)
    np.testing.assert_array_equal(found.as_numpy("scores"), expected)
    client.close()


def test_the_repository(server: Running, triton: Any) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    client.unload_model("lfc-w1a1")
    assert not client.is_model_ready("lfc-w1a1")
    assert not client.is_server_ready()
    client.load_model("lfc-w1a1")
    assert client.is_model_ready("lfc-w1a1")
    states = {one["name"]: one["state"] for one in client.get_model_repository_index()}
    assert states == {"lfc-w1a1": "READY", "cnv-w1a1": "READY"}
    client.close()


def test_errors_are_the_clients_own(server: Running, triton: Any) -> None:
    from tritonclient.utils import InferenceServerException

    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    given = triton.InferInput("input", [1, 2], "UINT8")
    given.set_data_from_numpy(np.zeros((1, 2), np.uint8))
    with pytest.raises(InferenceServerException, match=r"must be \[-1, 28, 28, 1\]"):
        client.infer("lfc-w1a1", [given])
    with pytest.raises(InferenceServerException, match="not served"):
        client.infer("lfc", [given])
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lfc-w1a1", "cnv-w1a1"])
def test_a_whole_test_set(server: Running, triton: Any, data_dir: Path, name: str) -> None:
    from bnn.data import cifar, idx

    if name == "lfc-w1a1":
        images = idx.read_images(data_dir / "mnist" / "t10k-images-idx3-ubyte.gz")[..., None]
    else:
        images, _ = cifar.read_records(data_dir / "cifar10" / "test_batch.bin.xz")
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    parts = []
    for first in range(0, len(images), 1000):
        part = np.ascontiguousarray(images[first : first + 1000])
        given = triton.InferInput("input", part.shape, "UINT8")
        given.set_data_from_numpy(part)
        parts.append(client.infer(name, [given]).as_numpy("scores"))
    expected = bnn.Classifier(name, "reference").scores(images)
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    client.close()
