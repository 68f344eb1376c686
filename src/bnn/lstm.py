# SPDX-License-Identifier: BSD-3-Clause
"""The Python interface of LSTM-PYNQ: ``from bnn import lstm`` instead of ``import lstm``.

The parameter files are searched under the roots in ``BNN_PARAMS`` and ``BNN_DATA``. There are some
differences from the original: nothing is loaded onto a board; ``RUNTIME_HW`` computes on the CPU,
and prints a notice; times are those of this machine; texts are not cut off after 95 characters.
"""

from __future__ import annotations

import os

from PIL import Image

from bnn.errors import UnknownNameError
from bnn.formats.lstm_pynq import NETWORKS, datasets_folder
from bnn.library import line_roots
from bnn.reader import LineReader
from bnn.system.terminal import notice

__version__ = "0.2"

RUNTIME_HW = "libhw"
RUNTIME_SW = "libsw"
LSTM_DATA_DIR: str


def __getattr__(name: str) -> object:
    if name == "LSTM_DATA_DIR":
        return datasets_folder(line_roots())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class PynqLSTM:
    """A network of LSTM-PYNQ on this machine's CPU.

    Args:
        runtime: :data:`RUNTIME_HW` or :data:`RUNTIME_SW`; both compute the same.
        dataset: ``plain`` or ``fraktur``.
        network: name of the network, such as ``W4A4``.
        load_overlay: accepted for old scripts; there is no overlay.

    Raises:
        UnknownNameError: no such runtime or network, or its parameter files are not found.
    """

    input_size = 0
    hidden_size = 0
    peepholes_enabled = False
    bias_enabled = True
    bidirectional_enabled = True

    def __init__(self, runtime: str, dataset: str, network: str, load_overlay: bool) -> None:
        if runtime not in (RUNTIME_HW, RUNTIME_SW):
            raise UnknownNameError(
                f"no runtime is called {runtime!r}; there are: {RUNTIME_HW}, {RUNTIME_SW}"
            )
        if (dataset, network) not in NETWORKS:
            known = ", ".join(name for kind, name in NETWORKS if kind == dataset)
            raise UnknownNameError(
                f"no {dataset} network is called {network!r}; there are: {known}"
            )
        self.runtime, self.dataset, self.network = runtime, dataset, network
        self.load_overlay = load_overlay
        self._reader = LineReader(f"{dataset}-{network.lower()}")
        if runtime == RUNTIME_HW:
            notice(
                f"{RUNTIME_HW}: the CPU computes; bnn.LineReader(MODEL, runtime='sim') simulates "
                "an accelerator"
            )

    @property
    def ops_per_seq_element(self) -> int:
        """Operations per column, as the original counts them."""
        return self.lstm_ops_per_seq_element

    @property
    def lstm_ops_per_seq_element(self) -> int:
        """Operations of the LSTM per column; a multiply-add counts as two operations."""
        inputs = self.input_size + self.hidden_size + int(self.bias_enabled)
        others = 3 * self.hidden_size * (2 if self.peepholes_enabled else 1)
        operations = 2 * inputs * 4 * self.hidden_size + others
        return operations * (2 if self.bidirectional_enabled else 1)

    def cleanup(self) -> None:
        """Do nothing: the original returns a board's memory here."""


class PynqOCR(PynqLSTM):
    """A network that reads lines of text."""

    alphabet_size = 0

    @property
    def ops_per_seq_element(self) -> int:
        """Operations per column, as the original counts them."""
        return self.lstm_ops_per_seq_element + self.fc_ops_per_seq_element

    @property
    def fc_ops_per_seq_element(self) -> int:
        """Operations of the last layer per column.

        For plain networks the original counts only one of the two directions.
        """
        directions = 2 if self.peepholes_enabled else 1
        return 2 * self.hidden_size * directions * self.alphabet_size

    def inference(self, input_data: Image.Image) -> tuple[float, float, str]:
        """Return the text of a picture of a line.

        The result is (million operations per second, milliseconds, text).
        """
        text = self._reader.read(input_data, original=True)
        run = self._reader.last_run
        ms = max(1e3 * run.seconds, 1e-9)
        return 0.001 * self.ops_per_seq_element * run.columns / ms, ms, text

    def inference_from_path(self, input_path: str | os.PathLike[str]) -> tuple[float, str]:
        """Return (milliseconds, text) for a text file of prepared pixels.

        The file has the pixels column by column.
        """
        scores = self._reader.scores_of(self._reader.columns_of_file(input_path))
        return 1e3 * self._reader.last_run.seconds, self._reader.text(scores)


class PynqPlainOCR(PynqOCR):
    """Printed text: W2A2, W2A4, W4A4, W4A8 or W8A8."""

    input_size = 32
    hidden_size = 128
    alphabet_size = 82

    def __init__(
        self, runtime: str = RUNTIME_HW, network: str = "W4A4", load_overlay: bool = True
    ) -> None:
        super().__init__(runtime, "plain", network, load_overlay)


class PynqFrakturOCR(PynqOCR):
    """Fraktur: W5A5."""

    input_size = 25
    hidden_size = 100
    alphabet_size = 110
    peepholes_enabled = True

    def __init__(
        self, runtime: str = RUNTIME_HW, network: str = "W5A5", load_overlay: bool = True
    ) -> None:
        super().__init__(runtime, "fraktur", network, load_overlay)


def __dir__() -> list[str]:
    return sorted({*globals(), "LSTM_DATA_DIR"})
