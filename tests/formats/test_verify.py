# SPDX-License-Identifier: BSD-3-Clause
"""``--verify``: what is compared, with what, and what cannot be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bnn.data.sets import DataSet
from bnn.errors import DataError, FormatError
from bnn.formats.convert import Conversion, Options, convert, taking_pictures
from bnn.measure.agreement import TIE, Answers, _labels, compared, read_samples, squashed, verify

DRAW = np.random.default_rng(11)
W1 = DRAW.choice(np.array([-1, 1], np.float32), (6, 8))
INPUTS = DRAW.choice(np.array([-1, 1], np.float32), (60, 6))


def converted(tmp_path: Path, columns: int, ending: str) -> tuple[Conversion, Path, Any]:
    """A small net that ends in ``ending`` (or in nothing), and its logits."""
    w2 = DRAW.choice(np.array([-1, 1], np.float32), (8, columns)) / np.float32(4)
    bias = np.full(columns, 0.125, np.float32)  # no logit is 0
    out = "logits" if ending else "y"
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("Sign", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "w2", "bias"], [out]),
    ]
    if ending:
        nodes.append(helper.make_node(ending, ["logits"], ["y"]))
    given = {"w1": W1, "w2": w2, "bias": bias}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, columns])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in given.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    logits = np.sign(INPUTS @ W1) @ w2 + bias
    return convert(path, options=Options(input="bipolar")), path, logits


def stored(tmp_path: Path, **arrays: Any) -> str:
    np.savez(tmp_path / "stored.npz", **arrays)
    return str(tmp_path / "stored.npz")


@pytest.mark.parametrize(("columns", "ending"), [(1, "Sigmoid"), (5, "Softmax"), (5, "Sigmoid")])
def test_stored_probabilities_are_compared_as_such(
    tmp_path: Path, columns: int, ending: str
) -> None:
    made, path, logits = converted(tmp_path, columns, ending)
    after = squashed(logits, ending.lower())
    assert columns > 1 or ((after > 0.5).any() and (after < 0.5).any())
    for name in ("logits", "probabilities"):
        source = stored(tmp_path, inputs=INPUTS, **{name: after.astype(np.float32)})
        found = verify(made, read_samples(source, made), source=path)
        assert found.comparisons[0].source == f"the stored answers (after a {ending.lower()})"
        assert found.comparisons[0].differing == 0
        assert found.comparisons[0].off is not None
        assert found.comparisons[0].off < 1e-6
        assert not found.failed


def test_a_wrong_stored_sigmoid_is_found(tmp_path: Path) -> None:
    made, path, logits = converted(tmp_path, 1, "Sigmoid")
    source = stored(tmp_path, inputs=INPUTS, logits=1 - squashed(logits, "sigmoid"))
    found = verify(made, read_samples(source, made), source=path)
    assert found.comparisons[0].differing == len(INPUTS)
    assert found.failed


@pytest.mark.parametrize("ending", ["", "Sigmoid"])
def test_stored_logits_of_one_output_are_decided_at_0(tmp_path: Path, ending: str) -> None:
    made, path, logits = converted(tmp_path, 1, ending)
    assert (logits > 1).any()
    found = verify(
        made, read_samples(stored(tmp_path, inputs=INPUTS, logits=logits), made), source=path
    )
    assert found.comparisons[0].source == "the stored answers"
    assert found.comparisons[0].differing == 0


def test_probabilities_of_a_net_whose_file_tells_no_softmax(tmp_path: Path) -> None:
    made, path, logits = converted(tmp_path, 5, "")
    after = squashed(logits, "softmax")
    found = verify(
        made, read_samples(stored(tmp_path, inputs=INPUTS, probabilities=after), made), source=path
    )
    assert found.comparisons[0].off is not None
    assert found.comparisons[0].off < 1e-6


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"inputs": INPUTS[:0]}, "are empty"),
        ({"inputs": INPUTS, "labels": np.full(60, 5)}, "has 5 in labels"),
        ({"inputs": INPUTS, "labels": np.full(60, -1)}, "has -1 in labels"),
        ({"inputs": INPUTS, "labels": np.full(60, 0.5)}, "has 0.5 in labels"),
        ({"inputs": INPUTS, "labels": np.full(60, np.nan)}, "has nan in labels"),
        ({"inputs": INPUTS, "predictions": np.full(60, 7)}, "has 7 in predictions"),
        ({"inputs": INPUTS, "logits": np.full((60, 5), np.nan)}, "not finite"),
        ({"inputs": INPUTS, "logits": np.full((60, 5), np.inf)}, "not finite"),
    ],
)
def test_answers_that_cannot_be_are_refused(
    tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    made, _, _ = converted(tmp_path, 5, "")
    with pytest.raises(DataError, match=words):
        read_samples(stored(tmp_path, **arrays), made)


def data(classes: tuple[str, ...], *, named: bool = True) -> DataSet:
    return DataSet("pets", np.zeros((3, 4, 4, 1), np.uint8), np.array([0, 1, 1]), classes, named)


def test_labels_of_a_data_set_are_matched_by_name() -> None:
    labels, notes = _labels(data(("cat", "dog")), ("dog", "cow", "cat"))
    assert labels is not None
    assert labels.tolist() == [2, 0, 0]
    assert notes == ()


def test_classes_without_names_are_taken_by_position_which_is_said() -> None:
    labels, notes = _labels(data(("cat", "dog")), ("0", "1"))
    assert labels is not None
    assert labels.tolist() == [0, 1, 1]
    assert "have no names" in notes[0]
    labels, notes = _labels(data(("0", "1"), named=False), ("0", "1"))
    assert labels is not None
    assert notes == ()


@pytest.mark.parametrize("classes", [("fish", "bird"), ("cat", "bird")])
def test_classes_of_other_names_give_no_accuracy(classes: tuple[str, ...]) -> None:
    labels, notes = _labels(data(("cat", "dog")), classes)
    assert labels is None
    assert notes[0].startswith("accuracy not measured: ")


@pytest.mark.parametrize(("channels", "is_picture"), [(1, True), (2, False), (3, True), (4, False)])
def test_only_maps_of_1_or_3_channels_take_pictures(
    tmp_path: Path, channels: int, is_picture: bool
) -> None:
    kernels = DRAW.choice(np.array([-1, 1], np.float32), (2, channels, 4, 4))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(kernels, "w")],
    )
    opsets = [helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    model = convert(path, options=Options(input="unit")).model
    if is_picture:
        assert taking_pictures(model, "unit").preprocess is not None
    else:
        with pytest.raises(FormatError, match="is not a picture; those have 1 or 3 channels"):
            taking_pictures(model, "unit")


def test_a_vector_takes_no_pictures(tmp_path: Path) -> None:
    made, _, _ = converted(tmp_path, 3, "")
    with pytest.raises(FormatError, match=r"its input of shape \(6,\) is not a picture$"):
        taking_pictures(made.model, "unit")


def test_an_input_quantizer_that_the_host_lacks_is_named(tmp_path: Path) -> None:
    """Its input is then taken as whole numbers, which is said with the true reason."""
    domain = "qonnx.custom_op.general"
    given = {"s": np.float32(0.25), "z": np.float32(0), "b": np.float32(8), "w": W1}
    quant = helper.make_node(
        *("Quant", ["x", "s", "z", "b"], ["q"], "first"),
        domain=domain,
        signed=0,
        narrow=1,
        rounding_mode="FLOOR",
    )
    graph = helper.make_graph(
        [quant, helper.make_node("MatMul", ["q", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in given.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    (note,) = convert(path).report.lost
    assert note.startswith("node 'first' (Quant) quantizes the input in a way that the host cannot")


def test_samples_of_another_shape_name_their_file(tmp_path: Path) -> None:
    made, _, _ = converted(tmp_path, 3, "")
    source = stored(tmp_path, inputs=INPUTS[:, :5])
    with pytest.raises(DataError, match=r"its inputs have shape \(60, 5\), the model takes \(N, 6"):
        read_samples(source, made)


@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_answers_without_logits_are_compared_by_class(mine: bool, theirs: bool) -> None:
    """Logits on one side only, or on none, are not compared."""
    logits = np.array([[2.0, 1.0], [1.0, 2.0], [2.0, 1.0], [0.0, 4.0]])
    wrong = np.array([0, 1, 1, 0])
    found = compared(
        "them",
        Answers(wrong, logits + 0.25 if mine else None),
        Answers(logits.argmax(axis=1), logits if theirs else None),
    )
    assert (found.samples, found.differing) == (4, 2)
    assert (found.off, found.largest) == ((0.25, 4.0) if mine and theirs else (None, 0.0))


@pytest.mark.parametrize(("gap", "differing"), [(0.0, 0), (0.5, 0), (2.0, 1)])
@pytest.mark.parametrize("columns", [1, 3])
def test_a_tie_is_a_part_of_the_largest_score(gap: float, differing: int, columns: int) -> None:
    """``gap`` in units of a tie; of one output, the decision is at 0."""
    largest, gap = 8.0, gap * TIE * 8.0
    if columns == 1:
        logits = np.array([[largest], [gap]])
        mine, theirs = np.array([1, 0]), np.array([1, 1])
    else:
        logits = np.array([[largest, 0.0, 0.0], [3.0, 3.0 + gap, 0.0]])
        mine, theirs = np.array([0, 0]), np.array([0, 1])
    found = compared("them", Answers(mine, logits), Answers(theirs, logits))
    assert found.differing == differing
