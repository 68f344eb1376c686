# SPDX-License-Identifier: BSD-3-Clause
"""How much of bare computing and bare decoding ``bnn bulk`` gives, on all processors.

    python bench/bulk.py                 # some minutes
    python bench/bulk.py --images 50000 --pictures 4000

Prints, of one run on this machine, ratios: arrays in a memory-mapped file beside bare threads;
small PNGs and JPEGs beside bare decoding by Pillow in as many processes; with ``--ray``, Ray beside
local.
The pictures for LFC are digits: those of MNIST if BNN_DATA is set, else the bundled ones; half of
them white on black, half dark on white. ``--noise`` adds pictures of noise, for which the
preparation of digits searches a stroke, and refuses most.
Starting processes is not counted: the rates are those of the shards' own seconds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import bnn
from bnn.data.sets import DataSet, load_test
from bnn.scale import bulk
from bnn.scale.local import local
from bnn.scale.sources import Shard
from bnn.scale.work import Done, Job

WORKERS = len(os.sched_getaffinity(0))


def timed(engine: Any, times: list[float]) -> Callable[..., Iterator[tuple[int, Done]]]:
    """An engine that notes when its shards were done: the rate is that after the first one."""

    def run(job: Job, waiting: list[tuple[int, Shard]]) -> Iterator[tuple[int, Done]]:
        for index, done in engine(job, waiting):
            times.extend([time.perf_counter()] * done.rows)
            yield index, done

    return run


def rate(model: str, sources: list[str], folder: Path, engine: Any) -> float:
    """Rows a second after the start: from the first part to the last."""
    times: list[float] = []
    bulk(bnn.load(model), sources, folder, timed(engine, times))
    first = times[0]
    later = sum(each > first for each in times)
    return later / (times[-1] - first)


def bare(model: str, images: Any) -> float:
    """Images a second of as many threads with the classifier alone."""
    clf = bnn.Classifier(model, threads=1)
    parts = [images[first : first + 1024] for first in range(0, len(images), 1024)]
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(clf._runtime.run, parts[:WORKERS]))
        began = time.perf_counter()
        list(pool.map(clf._runtime.run, parts))
        return len(images) / (time.perf_counter() - began)


def _decode(paths: list[str]) -> int:
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image)
    return len(paths)


def bare_decoding(paths: list[str]) -> float:
    """Pictures a second of as many processes that decode with Pillow and do nothing else."""
    parts = [paths[first : first + 256] for first in range(0, len(paths), 256)]
    with ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(_decode, [parts[0]] * WORKERS))
        began = time.perf_counter()
        done = sum(pool.map(_decode, parts))
        return done / (time.perf_counter() - began)


def noise(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return pictures of noise, uint8 (64, *shape)."""
    return np.random.default_rng(2).integers(0, 256, (64, *shape), np.uint8)


def digits() -> tuple[NDArray[np.uint8], str]:
    """Return pictures of digits, uint8 (N, 28, 28), and where they are from.

    Two neighbours are white on black, the next two dark on white.
    """
    if os.environ.get("BNN_DATA"):
        data = load_test("mnist")
        assert isinstance(data, DataSet)
        found, where = data.images[..., 0].copy(), "MNIST's digits"
    else:
        samples = sorted((Path(bnn.__file__).parent / "samples" / "mnist").glob("*.png"))
        found = np.stack([np.asarray(Image.open(path).convert("L")) for path in samples])
        where = "the bundled digits"
    found = found[: len(found) // 4 * 4]
    found[2::4], found[3::4] = 255 - found[2::4], 255 - found[3::4]
    return found, where


def pictures(folder: Path, count: int, base: NDArray[np.uint8]) -> list[str]:
    """Write ``count`` PNGs and JPEGs of the pictures ``base``, half and half."""
    folder.mkdir()
    paths = []
    for index in range(count):
        path = folder / f"{index:06d}.{'png' if index % 2 else 'jpg'}"
        Image.fromarray(base[index % len(base)]).save(path)
        paths.append(str(path))
    return paths


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200_000, help="in the file of arrays")
    parser.add_argument("--pictures", type=int, default=20_000, help="picture files")
    parser.add_argument("--ray", action="store_true", help="also Ray (extra ray)")
    parser.add_argument("--noise", type=int, default=0, help="also so many pictures of noise")
    options = parser.parse_args()
    print(f"load averages before: {os.getloadavg()}, processes: {WORKERS}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        arrays = np.random.default_rng(1).integers(0, 256, (options.images, 32, 32, 3), np.uint8)
        np.save(folder / "arrays.npy", arrays)
        alone = bare("cnv-w1a1", arrays[: options.images // 2])
        ours = rate("cnv-w1a1", [str(folder / "arrays.npy")], folder / "a", local(WORKERS))
        print(f"cnv-w1a1, arrays: {ours:,.0f} images/s, {100 * ours / alone:.0f} % of bare threads "
              "(reach 85)")  # fmt: skip
        if options.ray:
            from bnn.scale.on_ray import on_ray

            far = rate("cnv-w1a1", [str(folder / "arrays.npy")], folder / "r", on_ray(WORKERS))
            print(f"  on Ray: {far:,.0f} images/s, {100 * far / ours:.0f} % of local "
                  "(reach 70)")  # fmt: skip
        drawn, where = digits()
        count = options.pictures
        rows = [
            ("lfc-w1a1", where, drawn, count, "reach 85 of decoding"),
            ("cnv-w1a1", "noise", noise((32, 32, 3)), count, "reach 90 of both"),
        ]
        if options.noise:
            rows.append(("lfc-w1a1", "noise", noise((28, 28)), options.noise, "no reach"))
        for number, (model, kind, base, count, reach) in enumerate(rows):
            given = folder / f"pictures-{number}"
            paths = pictures(given, count, base)
            decoding = bare_decoding(paths)
            ours = rate(model, [str(given)], folder / f"out-{number}", local(WORKERS))
            computing = bare(
                model, np.zeros((4096, *bnn.load(model).program.input.shape), np.uint8)
            )
            both = 1 / (1 / decoding + 1 / computing)
            print(f"{model}, {len(paths)} pictures of {kind}: {ours:,.0f} pictures/s, "
                  f"{100 * ours / decoding:.0f} % of bare decoding, "
                  f"{100 * ours / both:.0f} % of decoding and computing ({reach})")  # fmt: skip


if __name__ == "__main__":
    main()
