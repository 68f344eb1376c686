# SPDX-License-Identifier: BSD-3-Clause
"""Run a prepared image on runtimes of this machine: the page compares them with the browser.

Only bundled models are run, and an image must be exactly the bytes that the model takes. So no file
and no picture that a request names or contains is opened.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from math import prod
from typing import Any

import numpy as np

from bnn.classifier import Classifier
from bnn.errors import BnnError
from bnn.library import bundled, load
from bnn.program.inputs import PictureInput
from bnn.system.terminal import harmless

#: Most requests at a time: one runs, the others wait.
MAX_REQUESTS = 4
#: Runtimes that the page can be served with.
RUNTIMES = ("cpu", "sim", "board")


class Busy(Exception):  # noqa: N818  # not an error of the user
    """Too many requests are running or waiting; try again later."""


class Failed(Exception):  # noqa: N818  # the reason is for the terminal, not for the page
    """A runtime cannot run a model."""


class Machine:
    """Classifiers of bundled models on the cpu runtime and on ``runtime``.

    They are made when a request needs them.

    Args:
        runtime: ``cpu``, ``sim`` or ``board``.
        say: function that is called with the text of an error, which may name files of this
            machine; None: the text is printed on standard error. It is never sent to the page.
        options: options of the runtime.
    """

    def __init__(
        self,
        runtime: str,
        say: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        self.runtime = runtime
        self.sizes = _sizes()
        self._say = say or _on_terminal
        self._options = options
        self._room = threading.BoundedSemaphore(MAX_REQUESTS)
        # One after the other: times are compared, and an accelerator is one.
        self._running = threading.Lock()
        self._making = threading.Lock()
        self._made: dict[str, Future[list[Classifier]]] = {}
        self._lock = threading.Lock()

    def answer(self, model: str, image: bytes) -> dict[str, Any] | None:
        """Return the result of each runtime for an image.

        Return None while the runtimes are being prepared, which takes minutes for ``sim``.

        Args:
            model: name of a bundled model, a key of ``sizes``.
            image: the bytes of the model's input, ``sizes[model]`` of them.

        Raises:
            Busy: too many requests are running or waiting.
            Failed: a runtime cannot run the model.
        """
        if not self._room.acquire(blocking=False):
            raise Busy
        try:
            made = self._classifiers(model)
            if not made.done():
                return None
            with self._running:
                return _compared(model, made.result(), image)
        except BnnError as reason:
            self._say(f"{model} on {self.runtime}: {reason}")
            raise Failed(model) from reason
        finally:
            self._room.release()

    def _classifiers(self, model: str) -> Future[list[Classifier]]:
        with self._lock:
            if model not in self._made:
                future: Future[list[Classifier]] = Future()
                self._made[model] = future
                # A daemon: Ctrl-C does not wait for a simulator that is being compiled.
                making = threading.Thread(target=self._make, args=(model, future), daemon=True)
                making.start()
                if self.runtime == "cpu":
                    making.join()  # takes milliseconds
            return self._made[model]

    def _make(self, model: str, future: Future[list[Classifier]]) -> None:
        try:
            with self._making:
                loaded = load(model)
                made = [Classifier(loaded, "cpu", threads=1)]
                if self.runtime != "cpu":
                    made.append(Classifier(loaded, self.runtime, **self._options))
            future.set_result(made)
        except BaseException as reason:  # it is raised where the result is asked for
            future.set_exception(reason)


def _on_terminal(line: str) -> None:
    sys.stderr.write(f"bnn: {harmless(line)}\n")


def _compared(model: str, made: list[Classifier], image: bytes) -> dict[str, Any]:
    shape = made[0].model.program.input.shape
    batch = np.frombuffer(image, np.uint8).reshape(1, *shape)
    return {"model": model, "runtimes": [_ran(one, batch) for one in made]}


def _ran(classifier: Classifier, batch: np.ndarray[Any, np.dtype[np.uint8]]) -> dict[str, Any]:
    scores, classes = classifier.run(batch)
    details: Mapping[str, Any] = classifier.last_run.details
    told = ("cycles", "mhz", "simulated", "simulation_seconds", "ledger", "copied")
    return {
        "runtime": classifier.runtime,
        "scores": scores[0].tolist(),
        "class_index": int(classes[0]),
        "us": classifier.last_run.us_per_image,
        **{key: details[key] for key in told if key in details},
    }


def _sizes() -> dict[str, int]:
    """Return how many bytes an image has, for each bundled model with picture input, by name."""
    inputs = {name: load(name).program.input for name in bundled()}
    return {
        name: prod(given.shape) for name, given in inputs.items() if isinstance(given, PictureInput)
    }
