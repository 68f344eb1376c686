# SPDX-License-Identifier: BSD-3-Clause
"""How much of the bare classifier a server gives, and how many requests a second.

    python bench/serve.py            # about a minute; uses wrk where it is installed

Prints, of one run on this machine: requests a second and latencies of one LFC image a request at
64 connections and at 1; the server's own time for a request (latency at 1 connection without the
classifier's time, and processor time); a server that does nothing, for comparison; images a second
of CNV with 1000 images a request, beside the bare classifier; growth of memory.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import bnn

_COMMAND = [sys.executable, "-c", "from bnn.commands.main import main; main()"]
_BARE = """
import sys, uvicorn
async def app(scope, receive, send):
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print("x at http://127.0.0.1:%d x" % port, flush=True)
Server(uvicorn.Config(app, port=0, access_log=False, log_level="error", lifespan="off")).run()
"""


def body_of(images: NDArray[np.uint8]) -> tuple[bytes, dict[str, str]]:
    """A binary request for scores, and its headers."""
    one = {
        "name": "input",
        "datatype": "UINT8",
        "shape": list(images.shape),
        "parameters": {"binary_data_size": images.nbytes},
    }
    wanted = [{"name": "scores", "parameters": {"binary_data": True}}]
    text = json.dumps({"inputs": [one], "outputs": wanted}).encode()
    return text + images.tobytes(), {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(text)),
    }


@contextmanager
def server(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server as a process, and its port."""
    started = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert started.stdout is not None
    port = int(started.stdout.readline().split(" at ")[1].split()[0].rsplit(":", 1)[1])
    try:
        yield started, port
    finally:
        started.terminate()
        started.wait()
        started.stdout.close()


def cpu_seconds(process: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: int) -> int:
    """Resident bytes of a process."""
    fields = Path(f"/proc/{process}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def load(
    port: int, path: str, images: NDArray[np.uint8], connections: int, seconds: float
) -> tuple[int, float, float, float]:
    """Requests, seconds, and the latencies p50 and p99 in ms, of one load."""
    body, headers = body_of(images)
    if shutil.which("wrk"):
        return _wrk(port, path, body, headers, connections, seconds)
    return _threads(port, path, body, headers, connections, seconds)


def _wrk(
    port: int, path: str, body: bytes, headers: dict[str, str], connections: int, seconds: float
) -> tuple[int, float, float, float]:
    lines = ['wrk.method = "POST"']
    lines += [f'wrk.headers["{key}"] = "{value}"' for key, value in headers.items()]
    lines.append('wrk.body = "' + "".join(f"\\{byte:03d}" for byte in body) + '"')
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join(lines))
        script.flush()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", "-s", script.name,
             f"http://127.0.0.1:{port}{path}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    if "Non-2xx" in done.stdout:
        raise SystemExit(done.stdout)
    found = re.search(r"(\d+) requests in ([\d.]+)(m?s)", done.stdout)
    assert found is not None, done.stdout
    taken = float(found[2]) / (1000 if found[3] == "ms" else 1)
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    latencies = [
        float(value) * scale[unit]
        for value, unit in re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s)", done.stdout)
    ]
    return int(found[1]), taken, latencies[0], latencies[1]


def _threads(
    port: int, path: str, body: bytes, headers: dict[str, str], connections: int, seconds: float
) -> tuple[int, float, float, float]:
    """Python's own client, for machines without wrk: it is slower than the server."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while time.perf_counter() < end:
            began = time.perf_counter()
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            times.append(time.perf_counter() - began)
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(connections)]
    began = time.perf_counter()
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    p50, p99 = np.percentile(1e3 * np.array(times), [50, 99])
    return len(times), time.perf_counter() - began, float(p50), float(p99)


def bare_rate(model: str, images: NDArray[np.uint8], seconds: float) -> float:
    """Images a second of the classifier alone."""
    clf = bnn.Classifier(model)
    clf.scores(images)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        clf.scores(images)
        done += len(images)
    return done / (time.perf_counter() - began)


def large(port: int, images: NDArray[np.uint8], seconds: float, clients: int = 2) -> float:
    """Images a second of large binary requests from Python's client."""
    path = "/v2/models/cnv-w1a1/infer"
    body, headers = body_of(images)
    requests, taken, _, _ = _threads(port, path, body, headers, clients, seconds)
    return requests * len(images) / taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each load")
    seconds = parser.parse_args().seconds
    random = np.random.default_rng(1)
    with Image.open(Path(bnn.__file__).parent / "samples" / "mnist" / "3.png") as image:
        digit = np.asarray(image.convert("L")).reshape(1, 28, 28, 1)
    colours = random.integers(0, 256, (1000, 32, 32, 3), np.uint8)
    infer = "/v2/models/lfc-w1a1/infer"
    print(f"load averages before: {os.getloadavg()}, processors: {os.cpu_count()}")
    with server([sys.executable, "-c", _BARE]) as (process, port):
        before = cpu_seconds(process.pid)
        count, taken, p50, p99 = load(port, "/", digit, 64, seconds)
        empty = 1e6 * (cpu_seconds(process.pid) - before) / count
        line("uvicorn alone, 64 connections", count / taken, "requests/s", p50, p99, empty)
    one = 1e6 / bare_rate("lfc-w1a1", digit, 1)
    with server([*_COMMAND, "serve", "lfc-w1a1", "cnv-w1a1", "--port", "0"]) as (process, port):
        load(port, infer, digit, 64, 2)
        settled: Any = memory(process.pid)
        for connections in (64, 1):
            before = cpu_seconds(process.pid)
            count, taken, p50, p99 = load(port, infer, digit, connections, seconds)
            each = 1e6 * (cpu_seconds(process.pid) - before) / count
            name = f"bnn serve lfc-w1a1, {connections} connections"
            line(name, count / taken, "requests/s", p50, p99, each)
            if connections == 64:
                print("  reach: 5,000 requests/s, p99 25 ms")
            print(f"  processor time: {each / empty:.2f} times that of uvicorn alone")
        print(
            f"  own overhead at 1 connection: {1e3 * p50 - one:.0f} us (classifier: {one:.0f} us; "
            "reach: 150 us)"
        )
        bare = bare_rate("cnv-w1a1", colours, seconds)
        served = large(port, colours, seconds)
        print(f"bare classifier cnv-w1a1: {bare:,.0f} images/s")
        print(f"bnn serve cnv-w1a1, 1000 images a request: {served:,.0f} images/s, "
              f"{100 * served / bare:.0f} % of it (reach 60)")  # fmt: skip
        growth = memory(process.pid) - settled
        print(f"growth of memory since the first 2 seconds: {growth / 2**20:.1f} MiB (reach 2)")


def line(name: str, rate: float, unit: str, p50: float, p99: float, cpu: float) -> None:
    """Print one load."""
    print(f"{name}: {rate:,.0f} {unit}, p50 {p50:.2f} ms, p99 {p99:.2f} ms, "
          f"{cpu:.0f} us of processor time a request")  # fmt: skip


if __name__ == "__main__":
    main()
