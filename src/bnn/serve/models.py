# SPDX-License-Identifier: BSD-3-Clause
"""The models of a server, by name and version; they can be loaded again while it serves."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError, ServeError, UnknownNameError
from bnn.library import load
from bnn.model.model import Model
from bnn.program.inputs import PictureInput
from bnn.run import Runtime, prepare
from bnn.serve.outputs import Output, inputs_of, outputs_of, properties
from bnn.serve.tensors import Spec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
#: Runs of one image before a model is served: they measure its time and allocate its memory.
_TRIALS = 3


@dataclass(frozen=True)
class Source:
    """A model as the command line names it: ``MODEL``, ``NAME=MODEL`` or ``NAME:VERSION=MODEL``.

    Attributes:
        name, version: name and version in addresses.
        place: what :func:`bnn.load` takes.
    """

    name: str
    version: str
    place: str

    @staticmethod
    def parse(text: str) -> Source:
        """Return the source that a text of the command line names.

        Raises:
            ServeError: the name or the version is not allowed, or there is no model after "=".
        """
        left, equals, place = text.partition("=")
        # A path with "=" in it and no name before: its left part is not a name.
        if not equals or "/" in left:
            path = Path(text)
            left, place = path.stem if path.suffix else path.name, text
        name, colon, version = left.partition(":")
        if not _NAME.fullmatch(name):
            raise ServeError(
                f"{text}: {name!r} cannot be a model's name in an address (letters, digits, "
                "'.', '_', '-'); give it one: NAME=MODEL"
            )
        if colon and not _VERSION.fullmatch(version):
            raise ServeError(
                f"{text}: version {version!r} is not a whole number of at least 1; write it as in "
                "NAME:2=MODEL"
            )
        if not place:
            raise ServeError(f"{text}: has no model after {left}=; give NAME=MODEL")
        return Source(name, version or "1", place)


@dataclass(frozen=True, eq=False)
class Served:
    """A loaded model that is ready to serve.

    Attributes:
        source: where the model was loaded from.
        model: the loaded model.
        runtime: the runtime with the model's program loaded into it.
        inputs: inputs that the model can take; a request has exactly one of them.
        outputs: name of each output -> output.
        seconds: seconds that the runtime takes for one image; 0 if not measured.
        inline: whether short batches may be computed in the event loop: only on the cpu runtime.
    """

    source: Source
    model: Model
    runtime: Runtime
    inputs: tuple[Spec, ...]
    outputs: Mapping[str, Output]
    seconds: float
    inline: bool

    def metadata(self, versions: list[str]) -> dict[str, Any]:
        """Return the model's metadata as the protocol defines them."""
        return {
            "name": self.source.name,
            "versions": versions,
            "platform": "bnn",
            "inputs": [each.as_json() for each in self.inputs],
            "outputs": [each.spec.as_json() for each in self.outputs.values()],
            "properties": properties(self.model),
        }


def ready(source: Source, runtime: str, options: Mapping[str, Any]) -> Served:
    """Load a model, prepare its runtime, and return it ready to serve.

    On the cpu runtime, the time of one image is measured.

    Raises:
        BnnError: the model cannot be loaded, or the runtime is not available on this machine.
    """
    model = load(source.place)
    prepared = prepare(runtime, model.program, **options)
    zeros = _zeros(model)
    seconds = 0.0
    for _ in range(_TRIALS if runtime == "cpu" else 0):
        began = time.perf_counter()
        prepared.run(zeros)
        seconds = time.perf_counter() - began
    inputs, outputs = inputs_of(model), outputs_of(model)
    return Served(source, model, prepared, inputs, outputs, seconds, runtime == "cpu")


def _zeros(model: Model) -> NDArray[Any]:
    given = model.program.input
    shape = (1, *given.shape)
    if isinstance(given, PictureInput):
        return np.zeros(shape, np.uint8)
    return np.full(shape, given.precision.low, np.int16)


class Repository:
    """The models of a server, by name and version.

    Args:
        sources: at least one source; each pair of name and version occurs only once.
        runtime: name of the runtime of all models.
        options: options of the runtime.

    Raises:
        ServeError: two sources have the same name and version.
        BnnError: a model cannot be loaded.
    """

    def __init__(self, sources: list[Source], runtime: str, options: Mapping[str, Any]) -> None:
        self._runtime, self._options = runtime, dict(options)
        self._sources: dict[str, dict[str, Source]] = {}
        for source in sources:
            versions = self._sources.setdefault(source.name, {})
            if source.version in versions:
                raise ServeError(
                    f"{source.place}: model {source.name!r} version {source.version} is there "
                    f"already ({versions[source.version].place}); give NAME=MODEL or NAME:2=MODEL"
                )
            versions[source.version] = source
        #: Replaced as a whole, so that no request sees a model half loaded.
        self._served: dict[str, dict[str, Served]] = {}
        for name in self._sources:
            self.put(name, self.made(name))

    def made(self, name: str) -> dict[str, Served]:
        """Load all versions of a model and return them: version -> model.

        The server serves them only after :meth:`put`.

        Raises:
            UnknownNameError: the server was not started with a model of this name.
            BnnError: a model cannot be loaded.
        """
        sources = self._sources.get(name)
        if sources is None:
            raise UnknownNameError(f"model {name!r}: was not given to this server")
        return {
            version: ready(source, self._runtime, self._options)
            for version, source in sorted(sources.items(), key=lambda item: int(item[0]))
        }

    def put(self, name: str, made: dict[str, Served]) -> None:
        """Serve the models ``made`` from now on, instead of the older ones with this name.

        Requests in progress are finished with the older models.
        """
        self._served = {**self._served, name: made}

    @property
    def all(self) -> list[Served]:
        """All models that are served."""
        return [each for versions in self._served.values() for each in versions.values()]

    def unload(self, name: str) -> None:
        """Stop serving all versions of a model, until it is loaded again.

        Raises:
            UnknownNameError: the server was not started with a model of this name.
        """
        if name not in self._sources:
            raise UnknownNameError(f"model {name!r}: was not given to this server")
        self._served = {other: made for other, made in self._served.items() if other != name}

    def find(self, name: str, version: str | None = None) -> Served:
        """Return a model that is served; without ``version``, the one with the largest version.

        Raises:
            UnknownNameError: no model with this name and version is served.
        """
        versions = self._served.get(name)
        if versions is None:
            raise UnknownNameError(f"model {name[:100]!r}: is not served here")
        if version is None:
            return next(reversed(versions.values()))
        found = versions.get(version)
        if found is None:
            known = ", ".join(versions)
            raise UnknownNameError(
                f"model {name!r} has no version {version[:20]!r}; it has {known}"
            )
        return found

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model that are served, in ascending order."""
        return list(self._served.get(name, {}))

    @property
    def ready(self) -> bool:
        """Whether all models are served with which the server was started."""
        return self._served.keys() == self._sources.keys()

    def index(self) -> list[dict[str, str]]:
        """Return all models with which the server was started.

        There are name, version and state of each, and the reason if it is not served.
        """
        return [
            {"name": name, "version": version, "state": "READY", "reason": ""}
            if version in self._served.get(name, {})
            else {"name": name, "version": version, "state": "UNAVAILABLE", "reason": "unloaded"}
            for name, versions in self._sources.items()
            for version in versions
        ]


def wanted_outputs(served: Served, names: list[str]) -> list[Output]:
    """Return the outputs called ``names``, in this order.

    Raises:
        InputError: the model has no output with one of these names.
    """
    for name in names:
        if name not in served.outputs:
            known = ", ".join(served.outputs)
            raise InputError(f"output {name!r}: unknown; this model has {known}")
    return [served.outputs[name] for name in names]
