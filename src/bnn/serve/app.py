# SPDX-License-Identifier: BSD-3-Clause
"""The addresses of the Open Inference Protocol v2 over REST, on Starlette."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray
from starlette.routing import Route, Router

import bnn
from bnn.errors import InputError
from bnn.serve.asgi import (
    JSON,
    Body,
    Receive,
    RefusedError,
    Room,
    Scope,
    Send,
    answer,
    answer_json,
    header,
    number,
)
from bnn.serve.batching import Batcher
from bnn.serve.gate import Gate, State
from bnn.serve.metrics import CONTENT_TYPE
from bnn.serve.models import Repository, Served, wanted_outputs
from bnn.serve.outputs import PICTURES, batch_of
from bnn.serve.tensors import BYTES
from bnn.serve.wire import JSON_LENGTH, Request, Tensor, parse, respond
from bnn.system.files import parse_json

EXTENSIONS = ["binary_tensor_data", "model_repository"]
#: Longer JSON, in bytes, is parsed in a thread.
_SHORT = 1 << 16
#: Content types of a request that is one picture file.
_PICTURE_TYPES = (b"image/png", b"image/jpeg")
_PLAIN_TYPES = (b"application/json", b"application/octet-stream")
#: Most bytes of a request to the repository.
_MAX_CONTROL = 1 << 16

Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]


class _Asgi:
    """An ASGI application that calls an endpoint; Starlette makes no ``Request`` object for it."""

    def __init__(self, kind: str, endpoint: Endpoint) -> None:
        self._kind, self._endpoint = kind, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["bnn"]["kind"] = self._kind
        await self._endpoint(scope, receive, send)


class Service:
    """The service: all addresses of the protocol, for the models of a repository.

    The attribute ``app`` is the ASGI application.

    Args:
        repository: the models.
        state: settings, log and figures, which all requests share.
    """

    def __init__(self, repository: Repository, state: State) -> None:
        self._models = repository
        self._state = state
        self._limits = state.settings.limits
        self._room = Room(self._limits.held)
        workers = max(2, os.cpu_count() or 1)
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="bnn-serve")
        # One thread for each model computes at a time; decoding has the threads above.
        self._computing = ThreadPoolExecutor(max(2, len(repository.all)), "bnn-compute")
        self._batchers: dict[Served, Batcher] = {}
        #: Address of inference without a version -> names in it.
        self._paths: dict[str, dict[str, str]] = {}
        self._loading = asyncio.Lock()
        self._renew()
        state.metrics.held.set_function(lambda: self._room.held)
        state.metrics.in_progress.set_function(lambda: state.in_progress)
        self._router = Router(self._routes(), redirect_slashes=False)
        self.app = Gate(self._routed, state)

    def close(self) -> None:
        """Wait until the threads have finished their work, and end them."""
        self._executor.shutdown()
        self._computing.shutdown()

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to its endpoint; nearly all are inferences, which need no search."""
        names = self._paths.get(scope["path"]) if scope["method"] == "POST" else None
        if names is None:
            await self._router(scope, receive, send)
            return
        scope["path_params"] = names
        scope["bnn"]["kind"] = "infer"
        await self._infer(scope, receive, send)

    def _routes(self) -> list[Route]:
        model, version = "/v2/models/{model}", "/versions/{version}"
        repository = "/v2/repository"
        rows: list[tuple[str, str, str, Endpoint]] = [
            # Inference first: routes are tried in order.
            ("POST", "infer", f"{model}/infer", self._infer),
            ("POST", "infer", f"{model}{version}/infer", self._infer),
            ("GET", "health", "/v2/health/live", self._live),
            ("GET", "health", "/v2/health/ready", self._ready),
            ("GET", "metadata", "/v2", self._server),
            ("GET", "metadata", "/v2/", self._server),
            ("GET", "metadata", model, self._metadata),
            ("GET", "metadata", f"{model}{version}", self._metadata),
            ("GET", "health", f"{model}/ready", self._model_ready),
            ("GET", "health", f"{model}{version}/ready", self._model_ready),
            ("POST", "repository", f"{repository}/index", self._index),
            ("POST", "repository", f"{repository}/models/{{model}}/load", self._load),
            ("POST", "repository", f"{repository}/models/{{model}}/unload", self._unload),
            ("GET", "metrics", "/metrics", self._metrics),
        ]
        return [
            Route(path, _Asgi(kind, endpoint), methods=[method], name=f"{kind} {path}")
            for method, kind, path, endpoint in rows
        ]

    def _renew(self) -> None:
        """Make a batcher for each new model, and drop those of models that are not served now."""
        self._batchers = {
            served: self._batchers.get(served) or self._batcher(served)
            for served in self._models.all
        }
        self._paths = {
            f"/v2/models/{served.source.name}/infer": {"model": served.source.name}
            for served in self._models.all
        }

    def _batcher(self, served: Served) -> Batcher:
        labels = (served.source.name, served.source.version)
        sizes = self._state.metrics.batches.labels(*labels)
        return Batcher(served, self._computing, sizes.observe)

    def _find(self, scope: Scope) -> Served:
        names = scope["path_params"]
        served = self._models.find(names["model"], names.get("version"))
        scope["bnn"] |= {"model": served.source.name, "version": served.source.version}
        return served

    # --- health and metadata ---------------------------------------------------------

    async def _live(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await answer_json(send, {"live": True})

    async def _ready(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        ready = self._models.ready
        await answer_json(send, {"ready": ready}, 200 if ready else 503)

    async def _model_ready(self, scope: Scope, _receive: Receive, send: Send) -> None:
        served = self._find(scope)
        await answer_json(send, {"name": served.source.name, "ready": True})

    async def _server(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        told = {"name": "bnn", "version": bnn.__version__, "extensions": EXTENSIONS}
        await answer_json(send, told)

    async def _metadata(self, scope: Scope, _receive: Receive, send: Send) -> None:
        served = self._find(scope)
        await answer_json(send, served.metadata(self._models.versions(served.source.name)))

    async def _metrics(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send, 200, self._state.metrics.text(), CONTENT_TYPE.encode())

    # --- repository ------------------------------------------------------------------

    async def _index(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._control(scope, receive)
        await answer_json(send, self._models.index())

    async def _load(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._control(scope, receive)
        name = scope["path_params"]["model"]
        loop = asyncio.get_running_loop()
        async with self._loading:
            made = await loop.run_in_executor(self._executor, self._models.made, name)
            self._models.put(name, made)
            self._renew()
        self._state.log.event("loaded", id=scope["bnn"]["id"], model=name)
        await answer_json(send, {})

    async def _unload(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._control(scope, receive)
        name = scope["path_params"]["model"]
        async with self._loading:
            self._models.unload(name)
            self._renew()
        self._state.log.event("unloaded", id=scope["bnn"]["id"], model=name)
        await answer_json(send, {})

    async def _control(self, scope: Scope, receive: Receive) -> None:
        """Read the body of a request to the repository; InputError if it has other parameters."""
        with Body(scope, receive, _MAX_CONTROL, self._room) as body:
            text = (await body.read()).strip()
        try:
            given = parse_json(text or b"{}")
        except ValueError:
            raise InputError("the request is not JSON") from None
        parameters = given.pop("parameters", None) or {} if isinstance(given, dict) else None
        if not isinstance(parameters, dict) or any(given.values()):
            raise InputError("the request must be an empty JSON object, or have no body")
        for name, value in parameters.items():
            # No model here depends on another one.
            if value and name != "unload_dependents":
                raise InputError(
                    f"parameter {name[:100]!r}: cannot be set; models are those that the server "
                    "was started with"
                )

    # --- inference -------------------------------------------------------------------

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        served = self._find(scope)
        batcher = self._batchers[served]
        with Body(scope, receive, self._limits.body, self._room, "--max-body") as body:
            request, batch = await self._read(scope, served, await body.read())
            wanted = [(each.name, each.binary) for each in request.outputs or ()]
            wanted = wanted or [(name, request.binary) for name in served.outputs]
            outputs = wanted_outputs(served, [name for name, _ in wanted])
            self._check_size(served, len(batch))
            run = await batcher.run(batch)
        scope["bnn"]["images"] = len(batch)
        values = [
            (output.spec.name, output.spec.datatype, output.values(run), binary)
            for output, (_, binary) in zip(outputs, wanted, strict=True)
        ]
        names = (served.source.name, served.source.version)
        text, length = respond(names, request.id, values)
        if length is None:
            await answer(send, 200, text)
        else:
            header_length = (JSON_LENGTH, str(length).encode())
            await answer(send, 200, text, b"application/octet-stream", [header_length])

    async def _read(
        self, scope: Scope, served: Served, body: bytes
    ) -> tuple[Request, NDArray[Any]]:
        """Return a request and its checked batch; steps that take long run in a thread."""
        if header(scope, b"content-encoding") not in (None, b"identity"):
            raise RefusedError(415, "Content-Encoding: send the request uncompressed")
        kind = (header(scope, b"content-type") or JSON).split(b";")[0].strip().lower()
        length = number(header(scope, JSON_LENGTH), "Inference-Header-Content-Length")
        if kind not in _PICTURE_TYPES and length is None:
            _check_no_picture(body)
        if kind in _PICTURE_TYPES:
            request = Request((Tensor(PICTURES, BYTES, (1,), [body]),))
        elif kind not in _PLAIN_TYPES and length is None and kind != _FORM:
            raise RefusedError(415, "Content-Type must be application/json, image/png, image/jpeg")
        else:
            parsing = (parse, body, length, self._limits.json, self._limits.images)
            short = (len(body) if length is None else length) <= _SHORT
            request = await self._call(*parsing) if not short else parse(*parsing[1:])
        if len(request.inputs) != 1:
            raise InputError(f"inputs: has {len(request.inputs)} tensors, this model takes one")
        tensor = request.inputs[0]
        reading = (batch_of, served.model, served.inputs, tensor, self._limits.pixels)
        if isinstance(tensor.values, list) or len(body) > _SHORT:
            return request, await self._call(*reading)
        return request, batch_of(*reading[1:])

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    def _check_size(self, served: Served, images: int) -> None:
        each = 8 * (served.model.program.classes + served.model.program.score_count)
        if images * each > self._limits.held:
            most = self._limits.held // each
            raise InputError(f"the answer of {images} images is too large; send at most {most}")


def _check_no_picture(body: bytes) -> None:
    """Refuse a body that is a picture file, but whose content type is not a picture's."""
    for begin, kind in _BEGINNINGS.items():
        if body.startswith(begin):
            raise RefusedError(415, f"the request is a picture; set Content-Type: {kind}")


#: First bytes of a picture file -> its content type.
_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
#: Content type that curl sends if no type is given.
_FORM = b"application/x-www-form-urlencoded"
