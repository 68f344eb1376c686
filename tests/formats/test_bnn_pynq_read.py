# SPDX-License-Identifier: BSD-3-Clause
"""Original parameter sets: the files' quirks on made-up sets, the recorded scores on real ones.

Figures come from sections 10 and 11 of the specification.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bnn.data import cifar, idx
from bnn.data.pictures.rules import image_to_cifar_array, thumbnail_pillow6
from bnn.errors import ParameterError
from bnn.formats.bnn_pynq import NETWORKS, OriginalNetwork, load
from bnn.library import load as load_any
from bnn.model.model import Model
from bnn.program.semantics import evaluate
from bnn.run.reference import ReferenceRuntime
from support.param_sets import CLASSES, archive, made, write


def _direct(network: OriginalNetwork, files: dict[str, bytes], image: Any) -> Any:
    """Section 2 read literally, on padded matrices: the last accumulator of every row."""
    value = image
    for index, layer in enumerate(network.layers):
        rows = []
        for row in range(layer.rows):
            words = np.frombuffer(files[f"{index}-{row % layer.pe}-weights.bin"], "<u8")
            base = (row // layer.pe) * layer.synapse_fold
            rows.append(
                [
                    int(words[base + c // layer.simd]) >> (network.weight_bits * (c % layer.simd))
                    & (2**network.weight_bits - 1)
                    for c in range(layer.columns)
                ]
            )
        value = _layer(network, files, index, np.array(rows), value)
    return value


def _layer(network: Any, files: dict[str, bytes], index: int, codes: Any, bits: Any) -> Any:
    layer = network.layers[index]
    one_bit_input = index == 0 or network.activation_bits == 1
    counts = one_bit_input and network.activation_bits == 1
    if counts:
        sums = (codes == bits).sum(axis=1)
    else:
        inputs = 2 * bits - 1 if one_bit_input else bits
        sums = ((2 * codes - 1) * inputs).sum(axis=1)
    if layer.last:
        return sums
    levels = network.levels(index)
    fired = []
    for row, total in enumerate(sums):
        words = np.frombuffer(files[f"{index}-{row % layer.pe}-thres.bin"], "<i8")
        own = words[(row // layer.pe) * levels :][:levels]
        fired.append(int((own < total).sum()) - (levels == 2))
    return np.array(fired)


@pytest.mark.parametrize("name", ["lfcW1A1", "lfcW1A2"])
def test_lfc_equals_the_specification_read_literally(name: str, tmp_path: Path) -> None:
    files = made(name)
    model = load(write(tmp_path / name, files))
    random = np.random.default_rng(1)
    picture = random.integers(0, 256, (1, 28, 28, 1), dtype=np.uint8)
    padded = np.zeros(832, int)
    padded[:784] = picture.ravel() >= 128
    expected = _direct(NETWORKS[name], files, padded)[:CLASSES]
    assert ReferenceRuntime(model.program).run(picture).scores[0].tolist() == expected.tolist()


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_recognised_by_itsmade(name: str, tmp_path: Path) -> None:
    model = load(write(tmp_path / "set", made(name)))
    assert model.name == name
    assert model.classes == tuple(f"class {c}" for c in range(CLASSES))


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz"])
def test_archives_equal_folders(packing: str, tmp_path: Path) -> None:
    files = made("lfcW1A1")
    packed = archive(tmp_path / f"a.tar.{packing}", files, f"w:{packing}")
    folder = write(tmp_path / "folder", files)
    assert load(packed).program.digest() == load(folder).program.digest()


def test_pad_rows_do_not_matter_and_may_be_missing(tmp_path: Path) -> None:
    """As chars_merged and streetview are stored (section 3)."""
    for name, last in (("lfcW1A1", 3), ("cnvW1A1", 8)):
        files = dict(made(name))
        whole = load(write(tmp_path / f"{name}-whole", files)).program.digest()
        layer = NETWORKS[name].layers[last]
        for pe in range(layer.pe):
            used = len(range(pe, CLASSES, layer.pe))
            key = f"{last}-{pe}-weights.bin"
            files[key] = files[key][: 8 * used * layer.synapse_fold]
        short = load(write(tmp_path / f"{name}-short", files)).program.digest()
        assert short == whole
        if name == "cnvW1A1":
            files["8-0-thres.bin"] = b"unused"
            assert load(write(tmp_path / f"{name}-short", files)).program.digest() == whole


@pytest.mark.parametrize(
    "name", ["4-0-weights.bin", "0-32-weights.bin", "00-3-weights.bin", "0-40-thres.bin"]
)
def test_parameters_that_the_network_has_no_place_for_are_refused(
    tmp_path: Path, name: str
) -> None:
    files = {**made("lfcW1A1"), name: bytes(8)}
    with pytest.raises(ParameterError, match=f"{name} belongs to no layer of lfcW1A1"):
        load(write(tmp_path / "set", files))


@pytest.mark.parametrize("text", ["a\nb".encode("utf-16"), b"a\nb\x00", b"\x1b[2Ja\nb", b"a\x07\n"])
def test_classes_that_are_no_text_are_refused(tmp_path: Path, text: bytes) -> None:
    files = {**made("lfcW1A1"), "classes.txt": text}
    with pytest.raises(ParameterError, match=r"classes\.txt contains control characters"):
        load(write(tmp_path / "set", files))


def test_the_mark_of_windows_editors_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    files = {**made("lfcW1A1"), "classes.txt": "\ufeffone\r\ntwo".encode()}
    assert load(write(tmp_path / "set", files)).classes == ("one", "two")


def test_classes(tmp_path: Path) -> None:
    files = {**made("lfcW1A1"), "classes.txt": b" a \r\n\r\nc\n"}
    assert load(write(tmp_path / "s", files)).classes == ("a", "", "c")
    for text in (b"", b"x\n" * 65):
        with pytest.raises(ParameterError, match=r"classes\.txt has"):
            load(write(tmp_path / "s", {**files, "classes.txt": text}))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("0-3-weights.bin", lambda data: data[:-8]),
        ("0-3-weights.bin", lambda data: data[:-1]),
        ("0-3-weights.bin", lambda data: data + data[:8]),
        ("3-9-weights.bin", lambda data: data[: 8 * 127]),
        ("1-63-thres.bin", lambda data: data[:-8]),
        ("1-63-thres.bin", lambda _data: b""),
        ("3-0-weights.bin", lambda _data: None),
        ("2-31-thres.bin", lambda _data: None),
        ("classes.txt", lambda _data: None),
    ],
)
def test_damage_names_the_file(name: str, change: Any, tmp_path: Path) -> None:
    files = dict(made("lfcW1A1"))
    data = change(files.pop(name))
    if data is not None:
        files[name] = data
    folder = write(tmp_path / "lfcW1A1", files)
    with pytest.raises(ParameterError) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_may_never_end_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "lfcW1A1", made("lfcW1A1"))
    (folder / "0-3-weights.bin").unlink()
    (folder / "0-3-weights.bin").symlink_to("/dev/zero")
    with pytest.raises(ParameterError, match=r"lfcW1A1: 0-3-weights\.bin is not a file"):
        load(folder)


def test_what_is_no_parameter_set(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no archive")
    (tmp_path / "cut.tar.xz").write_bytes(lzma.compress(b"\0" * 10_240)[:-20])
    two = archive(tmp_path / "two.tar", made("lfcW1A1"), "w", "a/")
    with tarfile.open(two, "a") as tar:
        tar.addfile(tarfile.TarInfo("b/classes.txt"), io.BytesIO())
    for name in ("missing", "empty", "text", "cut.tar.xz", "two.tar"):
        with pytest.raises(ParameterError, match=name):
            load(tmp_path / name)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_an_archive_are_named(kind: bytes, tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tar", made("lfcW1A1"), "w")
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("hw/config.h")
        link.type, link.linkname = kind, "elsewhere"
        tar.addfile(link)
        named = tarfile.TarInfo("0-0-weights.bin")
        named.type, named.linkname = kind, "elsewhere"
        tar.addfile(named)
    with pytest.raises(ParameterError, match=r"0-0-weights\.bin is a link|config\.h is a link"):
        load(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.tar.xz"
    with tarfile.open(bomb, "w:xz", preset=0) as tar:
        member = tarfile.TarInfo("0-0-weights.bin")
        member.size = 1 << 27
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(ParameterError, match="files together are too large"):
        load(bomb)


@cache
def _real(params: Path, name: str) -> Model:
    return load(params / f"{name}.tar.xz")


def _scores(model: Model, image: Any) -> list[int]:
    scores: list[int] = ReferenceRuntime(model.program).run(image).scores[0].tolist()
    return scores


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("car.png", [258, 417, 233, 206, 238, 215, 222, 238, 236, 249]),
        ("airplane.jpg", [412, 237, 233, 214, 248, 239, 242, 234, 250, 247]),
        ("bird.jpg", [268, 241, 387, 262, 284, 289, 236, 248, 230, 227]),
    ],
)
def test_recorded_pictures(name: str, expected: Any, data_dir: Path, params_dir: Path) -> None:
    """The notebook shrinks to 64x64 before it classifies."""
    with Image.open(data_dir / "images" / name) as image:
        thumbnail_pillow6(image, (64, 64))
        array = image_to_cifar_array(image)
    assert _scores(_real(params_dir, "cifar10-cnvW1A1"), array[None]) == expected


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("cnvW1A1", [228, 229, 251, 250, 412, 253, 230, 262, 222, 239]),
        ("cnvW1A2", [-26, -44, -32, -8, 264, 2, -12, -32, -46, -36]),
        ("cnvW2A2", [-22, -27, -16, -10, 239, 1, -9, -17, -15, -27]),
    ],
)
def test_recorded_deer(network: str, expected: Any, data_dir: Path, params_dir: Path) -> None:
    images, _ = cifar.read_records(data_dir / "images" / "deer.bin")
    assert _scores(_real(params_dir, f"cifar10-{network}"), images) == expected


@pytest.mark.parametrize(
    ("network", "scores", "thresholds"),
    [
        (
            "lfcW1A1",
            [509, 491, 490, 817, 460, 504, 517, 515, 527, 515],
            [664, 645, 644, 644, 665, 659, 644, 640, 694, 674],
        ),
        (
            "lfcW1A2",
            [31, -63, -29, 587, -17, -15, 7, -7, 51, 19],
            [269, 219, 243, 238, 272, 263, 280, 231, 357, 329],
        ),
    ],
)
def test_recorded_three(
    network: str, scores: Any, thresholds: Any, data_dir: Path, params_dir: Path
) -> None:
    model = _real(params_dir, f"mnist-{network}")
    images = idx.read_images(data_dir / "images" / "3.image-idx3-ubyte")[..., None]
    edges = evaluate(model.program, images)
    assert edges[model.program.scores].ravel().tolist() == scores
    assert edges["fired"].ravel().tolist() == [c == 3 for c in range(10)]
    assert edges["class"].item() == 3
    fired = model.program.op("fired")
    assert (fired.thresholds.ravel() - 1).tolist() == thresholds  # type: ignore[union-attr]


def test_a_network_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ParameterError, match=r"no original network is called 'cnvW9A9'; there are: "
    ):
        load(write(tmp_path / "set", made("cnvW1A1")), "cnvW9A9")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net", b"", "is not a tar archive, .*bnn convert makes"),
        ("net", b"name = 1\n", "is not a tar archive, .*bnn convert makes"),
        ("net.x", b"x" * 5000, "is not a tar archive, .*bnn convert makes"),
        ("net", b"\x89HDF\r\n\x1a\n" + bytes(600), "is another framework's file; convert it first"),
        ("net", b"PK\x03\x04" + bytes(600), "is another framework's file; convert it first"),
        (
            "a net.H5",
            b"",
            "is another framework's file; convert it first: bnn convert '.*H5'",
        ),
        ("net.onnx", b"x" * 5000, "is another framework's file; convert it first"),
    ],
)
def test_a_file_of_another_kind_is_not_called_a_damaged_archive(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=f"{re.escape(name)}: {said}"):
        load_any(path)


@pytest.mark.parametrize("spelled", ["lfcW1A1", "lfc-w1a1", "LFC-W1A1"])
def test_a_network_is_called_as_here_or_as_in_the_original(spelled: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "set", made("lfcW1A1"))
    assert load(folder, spelled) == load(folder)


def test_an_unknown_network_names_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", made("lfcW1A1"))
    with pytest.raises(ParameterError, match="set: no original network is called 'lfc'"):
        load(folder, "lfc")
