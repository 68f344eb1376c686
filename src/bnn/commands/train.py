# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``bnn train`` and ``bnn certify``. PyTorch is imported when one is run."""

from __future__ import annotations

import json as json_text
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnn.commands.hints import next_step
from bnn.errors import TrainError
from bnn.system import install
from bnn.system.terminal import harmless, notice
from bnn.train.memory import keep_memory

if TYPE_CHECKING:
    from bnn.data.report import DataReport
    from bnn.train.certificate import Certificate

#: With fewer test pictures the accuracy says little: of 30, one is 3 %.
FEW_TESTED = 30

Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def train(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NET]",
            help="A network's name, or a .toml topology file. With --resume alone, the run.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="mnist, fashion-mnist, cifar10, or a folder.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Pictures a step.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate of the weights.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, order and augmentation; 1 by default.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the run in RUN, with its own settings."),
    ] = False,
    init: Annotated[
        str | None,
        typer.Option(metavar="RUN_OR_MODEL", help="Start from its weights, where they fit."),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN_OR_MODEL", help="Learn from its answers too (may be repeated)."),
    ] = None,
    taught: Annotated[
        float | None, typer.Option(help="Share of the teachers' answers in the loss, 0 to 1.")
    ] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Train on the validation part too and deploy the last epoch."),
    ] = False,
    devices: Annotated[
        str | None, typer.Option(help="auto, how many, or a list such as 0,2; auto by default.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="integer, 32-true or bf16-mixed; the fastest by default."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without a better one.")
    ] = None,
    preprocess: Annotated[
        str | None, typer.Option(help="Of pictures: thumbnail, stretch, digit or on-black.")
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Go on without pictures that cannot be read.")
    ] = False,
    augment: Annotated[
        str | None, typer.Option(help="none, shift, flip-shift, flip-shift-cut or distort.")
    ] = None,
    mix: Annotated[
        float | None,
        typer.Option(help="Blend pictures in pairs, with shares as of Beta(MIX, MIX)."),
    ] = None,
    json: Json = False,
) -> None:
    """Train a network, deploy it to RUN/model.bnn, and prove that nothing was lost.

    Without a terminal it prints a line per epoch. Ctrl-C stops it; the epochs before are kept.

    Examples: [bold]bnn train lfc-w1a1 --data mnist -o runs/digits[/bold],
    [bold]bnn train --resume runs/digits[/bold] (after a crash or Ctrl-C; also with more --epochs)
    """
    from bnn.train.early import (
        check_given,
        check_new,
        check_place,
        check_run,
        is_recurrent,
        is_sequence_run,
    )
    from bnn.train.stop import Stopped, stoppable

    if networks and len(networks) > 1:
        raise typer.BadParameter(_too_many(networks, resume=resume))
    network = networks[0] if networks else None
    if resume and output is None and network is not None:
        output, network = Path(network), None
    if output is None or not (resume or (network and data)):
        raise typer.BadParameter("train with NET --data DATA -o RUN, or go on with --resume RUN")
    given = {
        "network": network,
        "data": data,
        "preprocess": preprocess,
        "seed": seed,
        "init": init,
        "teacher": teacher or None,
        "whole": whole or None,
        "skip_broken": skip_broken or None,
        "precision": precision,
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "taught": taught,
        "augment": augment,
        "mix": mix,
        "patience": patience,
        "devices": devices,
    }
    if is_recurrent(network) or (resume and is_sequence_run(output)):
        from bnn.commands import sequences

        _require_extra()
        _say_start()
        sequences.train(output, given, resume=resume, json=json)
        return
    if resume:
        check_run(output)
    else:
        check_given(given)
        check_place(output, str(data))
        check_new(output)
    _require_extra()
    keep_memory()
    _say_start()
    try:
        with stoppable():
            found = _train(output, given, resume=resume, json=json)
    except Stopped as stopped:
        typer.echo(f"bnn: {harmless(_where_stopped(output))}", err=True)
        raise typer.Exit(128 + stopped.signal) from None
    if found is not None:
        _show(found, output, json)


def _too_many(names: list[str], *, resume: bool) -> str:
    """Return a message for a user who gave several arguments where only one is allowed."""
    if resume:
        return (
            f"--resume takes the folder of a run alone, which knows its network: bnn train "
            f"--resume {names[-1]}"
        )
    return f"one network is trained at a time, not {', '.join(names)}; options begin with --"


def _where_stopped(output: Path) -> str:
    if "bnn.train.run" not in sys.modules:  # Ctrl-C came while modules were loaded
        if not (output / "settings.json").exists():
            return "stopped before it began; nothing is written yet, so start it again"
        return f"stopped before it began; bnn train --resume {output} goes on where it was"
    from bnn.train.resume import where_stopped

    return where_stopped(output)


def _train(
    output: Path, given: Mapping[str, Any], *, resume: bool, json: bool
) -> Certificate | None:
    from bnn.system.progress import progress
    from bnn.train.early import CHANGES
    from bnn.train.loop import FitOptions
    from bnn.train.resume import resumed
    from bnn.train.run import Settings
    from bnn.train.run import train as start

    # The first process of a training prints the lines of all.
    say = partial(_say, json=json) if _is_first() else lambda _: None
    tell = _tell if _is_first() and not json else None
    watch = (lambda: progress("reading pictures")) if _is_first() else nullcontext
    told = FitOptions(progress=sys.stdout.isatty() and not json, say=say)
    if resume:
        settings, options = resumed(output, given, told)
        return start(settings, output, options, resume=True, tell=tell, watch=watch)
    changes = {name: given[name] for name in CHANGES}
    settings = Settings.make(
        given["network"],
        given["data"],
        given["preprocess"],
        1 if given["seed"] is None else given["seed"],
        given["init"],
        given["teacher"] or (),
        bool(given["whole"]),
        bool(given["skip_broken"]),
        **changes,
    )
    options = replace(
        told,
        devices=given["devices"] or "auto",
        precision=given["precision"],
        patience=given["patience"],
    )
    return start(settings, output, options, resume=False, tell=tell, watch=watch)


def certify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a training.")],
    json: Json = False,
) -> None:
    """Deploy a run's network again, and compare the deployed model with the trained network.

    This also works if the training was stopped early.
    """
    from bnn.train.early import check_run

    check_run(run)
    _require_extra()
    _say_start()
    from bnn.system.progress import progress
    from bnn.train.run import recertify

    found = recertify(run, partial(_say, json=json), lambda: progress("reading pictures"))
    _show(found, run, json)


def _say(line: str, *, json: bool) -> None:
    """Print a line of progress at once: a log is read while the training runs."""
    print(harmless(line), file=sys.stderr if json else sys.stdout, flush=True)


def _say_start() -> None:
    if _is_first():
        notice("starting PyTorch")  # it takes seconds


def _tell(report: DataReport) -> None:
    """Print the report on the data."""
    from bnn.commands.tables import width

    typer.echo("\n".join(report.lines(width())))


def _is_first() -> bool:
    """Return whether this is the first process of the training.

    Lightning starts a process for each device.
    """
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _require_extra() -> None:
    for name in ("torch", "lightning"):
        if find_spec(name) is None:
            raise TrainError(f"training needs {name}: {install.command('train')}")


def _doubts(found: Certificate) -> Iterator[str]:
    """Yield a line for each reason why the accuracy says little about the model."""
    import numpy as np

    from bnn.train.checked import counted

    count = len(found.labels)
    if count < FEW_TESTED:
        yield (
            f"This was measured with {counted(count, 'test picture')}: too few to tell how good "
            "the model is"
        )
    often = np.bincount(found.labels, minlength=len(found.classes))
    right = int((found.labels == found.predicted).sum())
    if len(found.classes) > 1 and often.max() == count:
        yield f"The test part has only pictures of {harmless(found.classes[int(often.argmax())])!r}"
    elif len(found.classes) > 1 and right <= often.max():
        most = harmless(found.classes[int(often.argmax())])
        yield (
            f"This is no better than to answer {most!r} always ({often.max()} of {count} right): "
            "the network has learned nothing that helps; see report.html for each class"
        )


def _show(found: Certificate, folder: Path, json: bool) -> None:
    from bnn.train.checked import counted

    if json:
        typer.echo(json_text.dumps(found.as_json()))
        return
    if found.error is None:
        typer.echo(f"no probabilities: {found.no_calibration}")
    else:
        typer.echo(f"probabilities: expected calibration error {100 * found.error:.2f} %")
    typer.echo(
        f"{found.network} on {found.dataset}: {100 * found.accuracy['cpu']:.2f} % of "
        f"{counted(len(found.labels), 'test picture')} right; {found.scores.size} scores equal on "
        f"PyTorch, {' and '.join(found.differing)}; see {folder / 'report.html'}"
    )
    for line in _doubts(found):
        typer.echo(line)
    next_step("classify", folder / "model.bnn", "PICTURE", why="classify your own pictures")
    next_step("plan", folder / "model.bnn", "--max", why="does it fit a board, how fast")
