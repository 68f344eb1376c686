# SPDX-License-Identifier: BSD-3-Clause
"""The Python interface of LSTM-PYNQ, on real parameter files."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from bnn import lstm
from bnn.commands.main import main
from bnn.errors import DataError, UnknownNameError


@pytest.fixture
def lines_dir(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = data_dir / "lstm-pynq"
    if not (folder / "headers").is_dir():
        pytest.skip("BNN_DATA has no lstm-pynq")
    monkeypatch.setenv("BNN_PARAMS", str(folder))
    return folder


def test_the_original_test_of_plain_ocr(
    lines_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As its tests/test_ocr.py: every network, through RUNTIME_HW, reads the ground truth."""
    wanted = (lines_dir / "plain/test_image_gt.txt").read_text().replace("\n", "")
    for network in ("W2A2", "W2A4", "W4A4", "W4A8"):
        hw_ocr = lstm.PynqPlainOCR(runtime=lstm.RUNTIME_HW, network=network)
        mops, ms, text = hw_ocr.inference(Image.open(lines_dir / "plain/010077.bin.png"))
        hw_ocr.cleanup()
        assert text == wanted
        assert mops == pytest.approx(351_488 * 520 / (1000 * ms))
    assert "the CPU computes" in capsys.readouterr().err


def test_the_original_test_of_fraktur_ocr(lines_dir: Path) -> None:
    ocr = lstm.PynqFrakturOCR(runtime=lstm.RUNTIME_SW)
    _, _, text = ocr.inference(Image.open(lines_dir / "fraktur/010001.raw.lnrm.png"))
    assert text == (lines_dir / "fraktur/010001.txt").read_text(encoding="utf-8").replace("\n", "")


def test_inference_from_path(lines_dir: Path, tmp_path: Path) -> None:
    ocr = lstm.PynqPlainOCR(lstm.RUNTIME_SW, "W2A2")
    path = tmp_path / "pixels.txt"
    text = lzma.decompress((lines_dir / "plain/010077.A2.txt.xz").read_bytes()).decode()
    path.write_text(text)
    ms, read = ocr.inference_from_path(str(path))
    assert ms > 0
    assert read == "mally, the process has to be described in"
    # An odd number of columns comes out from the end to the start.
    path.write_text(" ".join(text.split()[32:]))
    _, read = ocr.inference_from_path(str(path))
    assert read.startswith("ni debircsed eb ot sah ssecorp eht")
    path.write_text("1 2 3")
    with pytest.raises(DataError, match="multiple of 32"):
        ocr.inference_from_path(str(path))


@pytest.mark.usefixtures("lines_dir")
def test_properties() -> None:
    plain, fraktur = lstm.PynqPlainOCR(lstm.RUNTIME_SW), lstm.PynqFrakturOCR(lstm.RUNTIME_SW)
    for ocr, wanted in (
        (plain, (32, 128, 82, False, True, True, 351_488)),
        (fraktur, (25, 100, 110, True, True, True, 246_800)),
    ):
        assert wanted == (
            ocr.input_size,
            ocr.hidden_size,
            ocr.alphabet_size,
            ocr.peepholes_enabled,
            ocr.bias_enabled,
            ocr.bidirectional_enabled,
            ocr.ops_per_seq_element,
        )
        assert isinstance(ocr, lstm.PynqOCR)
        assert isinstance(ocr, lstm.PynqLSTM)
    assert lstm.__version__ == "0.2"
    assert Path(lstm.LSTM_DATA_DIR, "plain", "alphabet.txt").is_file()


@pytest.mark.usefixtures("lines_dir")
def test_names_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="no runtime is called 'hw'"):
        lstm.PynqPlainOCR("hw")
    with pytest.raises(UnknownNameError, match="no plain network is called 'W5A5'"):
        lstm.PynqPlainOCR(lstm.RUNTIME_SW, "W5A5")
    monkeypatch.setenv("BNN_PARAMS", "")
    monkeypatch.setenv("BNN_DATA", "")
    with pytest.raises(UnknownNameError, match="BNN_PARAMS"):
        lstm.PynqPlainOCR(lstm.RUNTIME_SW)
    assert lstm.LSTM_DATA_DIR == ""
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        lstm.other  # noqa: B018


def _run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["bnn", *words])
    with pytest.raises(SystemExit) as stopped:
        sys.exit(main())  # type: ignore[func-returns-value]
    return int(stopped.value.code or 0)


def test_bnn_ocr(
    lines_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = str(lines_dir / "plain/010077.bin.png")
    assert _run(monkeypatch, "ocr", "plain-w2a2", line) == 0
    assert capsys.readouterr().out == "mally, the process has to be described in\n"
    assert _run(monkeypatch, "ocr", "plain-w2a2", line, line, "--json") == 0
    told = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert [each["columns"] for each in told] == [520, 520]
    missing = str(tmp_path / "none.png")
    assert _run(monkeypatch, "ocr", "plain-w2a2", missing, line) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{line}: mally, the process has to be described in\n"
    assert printed.err.startswith(f"bnn: {missing}")
    assert printed.err.count("\n") == 1
    assert _run(monkeypatch, "ocr", "plain-w2a2", missing, line, "--json") == 1
    told = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert told[0]["text"] == "mally, the process has to be described in"
    assert told[1] == {"image": missing, "error": "cannot be read: No such file or directory"}
    (tmp_path / "scans").mkdir()
    Image.new("L", (90, 12), 255).save(tmp_path / "scans/blank.png")
    shutil.copy(line, tmp_path / "scans/line.png")
    assert _run(monkeypatch, "ocr", "plain-w2a2", str(tmp_path / "scans")) == 1
    printed = capsys.readouterr()
    assert printed.out.endswith("line.png: mally, the process has to be described in\n")
    assert "blank.png: is blank" in printed.err
    # Converted, and shown.
    made = str(tmp_path / "m.bnn")
    header = os.fspath(lines_dir / "headers/W2A2.r_model_fw_bw.hpp.xz")
    assert _run(monkeypatch, "convert", header, "-o", made) == 0
    assert _run(monkeypatch, "ocr", made, line) == 0
    assert capsys.readouterr().out.endswith("mally, the process has to be described in\n")
    assert _run(monkeypatch, "info", made) == 0
    assert "scan" in capsys.readouterr().out
    assert _run(monkeypatch, "models") == 0
    assert "fraktur-w5a5" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["classify", "evaluate", "bench", "inspect"])
def test_other_commands_refuse_a_model_of_lines(
    command: str,
    lines_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = str(lines_dir / "plain/010077.bin.png")
    words = {"classify": [line], "inspect": [line], "evaluate": ["--data", str(tmp_path)]}
    assert _run(monkeypatch, command, "plain-w2a2", *words.get(command, [])) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("bnn: ")
    assert "Traceback" not in printed
