# SPDX-License-Identifier: BSD-3-Clause
"""The command line: parse, call, print. Each command imports what it needs when it is run."""

from __future__ import annotations

import json as json_text
import sys
import time
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bnn
from bnn.commands.hints import next_step
from bnn.errors import BnnError, DataError, UnreadableError
from bnn.system.terminal import (
    echo_folded,
    harmless,
    notices_on_one_line,
    plain_where_needed,
    print_whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from bnn.classifier import Classifier, Run

    #: Names, scores and classes of a batch, and the run's times.
    Results = tuple[list[str], NDArray[np.int32], NDArray[np.int64], Run]

#: Every verb, in the order of the help, and the module that has the function of its name.
VERBS = {
    "classify": "main",
    "evaluate": "main",
    "info": "main",
    "models": "main",
    "demo": "main",
    "bench": "bench",
    "train": "train",
    "certify": "train",
    "build": "build",
    "plan": "plan",
    "split": "split",
    "convert": "convert",
    "doctor": "doctor",
    "inspect": "inspect",
    "ocr": "ocr",
    "watch": "watch",
    "web": "web",
    "serve": "serve",
    "bulk": "bulk",
}

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="Bundled name, .bnn file, or original folder.")
]
RuntimeName = Annotated[str, typer.Option("--runtime", "-r", help="cpu, reference, sim or board.")]
Threads = Annotated[
    int | None, typer.Option("--threads", "-t", min=1, help="Threads of the cpu runtime.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bnn {bnn.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def classify(
    model: ModelName,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Pictures, folders, IDX or CIFAR-10 files."),
    ],
    runtime: RuntimeName = "cpu",
    threads: Threads = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Write waveforms (VCD) of the runtime sim.")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, metavar="K", help="Show the K most likely classes."),
    ] = None,
    reject: Annotated[
        float | None,
        typer.Option(
            "--reject", min=0, max=1, metavar="P", help="Below this probability: unknown."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Classify pictures.

    A folder stands for the pictures in it and in its subfolders. Files that cannot be read are
    listed (with --json also as objects with an error), the others are classified, and the exit
    status is 1.

    Example: [bold]bnn classify lfc-w1a1 three.png more-digits/ --json[/bold]
    """
    from bnn.commands import sequences
    from bnn.commands.images import FILES_AT_ONCE, end_with, list_files, read_batches
    from bnn.system.progress import progress_later

    recurrent = sequences.model_of(model)
    if recurrent is not None:
        sequences.refuse({"trace": trace, "top": top, "reject": reject}, "sequences")
        sequences.classify(recurrent, images, runtime, threads, json)
        return
    classifier = _classifier(model, runtime, threads, trace, reject)
    files, unreadable = list_files(images)
    total = len(files) + len(unreadable)
    at_once = FILES_AT_ONCE if trace is None else None  # waveforms are of one run
    found: list[Results] = []
    began, running = time.perf_counter(), 0.0
    with progress_later("classifying") as advance:
        for names, batch in read_batches(classifier.model, files, unreadable, advance, at_once):
            start = time.perf_counter()
            found.append((names, *classifier.run(batch), classifier.last_run))
            running += time.perf_counter() - start
    if found:
        reading = time.perf_counter() - began - running
        _print_results(classifier, runtime, found, reading, top, json=json)
        if not json:
            picture = images[0] if images[0].is_file() else "PICTURE"
            next_step("inspect", model, picture, why="what each layer makes of it")
    end_with(unreadable, total, json=json)


def _print_results(
    classifier: Classifier,
    runtime: str,
    found: list[Results],
    reading: float,
    top: int | None,
    *,
    json: bool,
) -> None:
    import numpy as np

    from bnn.classifier import total
    from bnn.commands.answers import answers

    names = [name for own, *_ in found for name in own]
    scores, classes = (np.concatenate([one[place] for one in found]) for place in (1, 2))
    run = total([one[3] for one in found])
    us = run.us_per_image
    if not json:
        from rich.text import Text

        from bnn.commands.tables import MAX_BARS, MIN_WIDTH, scores_table, timing_text

        table = scores_table(
            classifier.model,
            names,
            scores,
            classes,
            {runtime: us},
            classifier.classes,
            MAX_BARS if top is None else top,
        )
        print_whole(table, MIN_WIDTH)
        if top is not None and classifier.model.calibration is None:
            print_whole(Text("scores, no probabilities: the model file has no calibration"))
        print_whole(Text(timing_text(run, reading)), MIN_WIDTH)
        return
    times = {"us": us, "prepare_us": 1e6 * (reading + run.prepare_seconds) / max(len(names), 1)}
    simulation = ("cycles", "mhz", "simulated", "simulation_seconds")
    times |= {key: run.details[key] for key in simulation if key in run.details}
    for name, answer in zip(names, answers(classifier, scores, classes, top), strict=True):
        _print_json({"image": name, **answer, **times})


def evaluate(
    model: ModelName,
    data: Annotated[str, typer.Option("--data", help="mnist, cifar10, or a folder.")],
    runtime: RuntimeName = "cpu",
    threads: Threads = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Go on without pictures that cannot be read.")
    ] = False,
    reject: Annotated[
        float | None,
        typer.Option("--reject", min=0, max=1, metavar="P", help="Measure what rejecting does."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", metavar="DATA", help="Of no class of the model (with --reject)."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="PAGE", help="Write classes, errors, sureness as HTML."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure a model's accuracy on a test set, and say what the set holds and what looks wrong.

    If the model file has a calibration, it also measures how reliable the probabilities are. With
    --reject it measures how many right answers, wrong answers and other pictures are rejected.

    A folder has MNIST's or CIFAR-10's files, or pictures in one subfolder per class, possibly
    in a subfolder test. A subfolder is the model's class of the same name.

    Examples: [bold]bnn evaluate lfc-w1a1 --data mnist[/bold],
    [bold]bnn evaluate lfc-w1a1 --data mnist --reject 0.9 --against cifar10[/bold]
    """
    from bnn.classifier import calibration_of
    from bnn.commands import sequences
    from bnn.commands.answers import sureness_lines
    from bnn.commands.tables import width
    from bnn.measure.accuracy import evaluate as measure
    from bnn.measure.sureness import sureness
    from bnn.system.files import check_page, write_whole
    from bnn.system.progress import progress

    recurrent = sequences.model_of(model)
    if recurrent is not None:
        options = {"skip_broken": skip_broken, "reject": reject, "against": against}
        sequences.refuse({**options, "report": report}, "sequences")
        sequences.evaluate(recurrent, data, runtime, threads, json)
        return
    if against and reject is None:
        raise BnnError("--against is for --reject: give a probability too, as in --reject 0.9")
    if report is not None:
        check_page(report)
    classifier = _classifier(model, runtime, threads)
    if reject is not None:
        calibration_of(classifier.model)  # refused now, not after minutes
    with progress("evaluating") as advance:
        result = measure(classifier, data, advance, skip_broken=skip_broken)
    limits = () if reject is None else (reject,)
    found = sureness(classifier, result, limits, against or ())
    if report is not None:
        from bnn.measure.page import report as page_of

        text = page_of(Path(model).name, Path(data).name, result, found)
        write_whole(report, text.encode(), DataError)
    if json:
        told = {} if found is None else found.as_json()
        _print_json({"model": model, "data": data, "runtime": runtime, **result.as_json(), **told})
    else:
        typer.echo("\n".join(result.data.lines(width())))
        echo_folded(
            f"{model} on {data}: {100 * result.accuracy:.2f} % of {result.images} images right, "
            f"{result.us_per_image:.1f} us per image ({_computed(classifier)})"
        )
        for line in sureness_lines(found):
            echo_folded(line)
        if report is not None:
            typer.echo(harmless(f"{report}: each class, the confusion matrix, the worst answers"))
        else:
            words = ("evaluate", model, "--data", data, "--report", "page.html")
            next_step(*words, why="each class, the worst answers")


def _computed(classifier: Classifier) -> str:
    """Return the runtime's name; after a simulation also the clock that its times assume."""
    run = classifier.last_run
    clock = f", simulated, at {run.details['mhz']:g} MHz" if run.simulated else ""
    return f"{classifier.runtime}{clock}"


def info(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="Bundled name, .bnn file, or folder.")
    ] = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Show which kernel the cpu runtime takes here, and why.")
    ] = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="Show where simulators and fetched data are kept.")
    ] = False,
    json: Json = False,
) -> None:
    """Show a model's layers, precisions, operations and bytes.

    Example: [bold]bnn info cnv-w1a1[/bold]
    """
    if cpu:
        if model is not None:
            raise BnnError("--cpu is about this machine, not about a model; give one of the two")
        from bnn.commands.bench import show_cpu

        show_cpu(json)
        return
    if cache:
        if model is not None:
            raise BnnError("--cache is about this machine, not about a model; give one of the two")
        _show_cache(json)
        return
    if model is None:
        raise BnnError("name a model (see bnn models), or ask for --cpu or --cache")
    loaded = bnn.load(model)
    if json:
        from bnn.model.figures import as_json

        _print_json(as_json(loaded))
        return
    from bnn.commands.tables import info_notes, info_table

    print_whole(info_table(loaded))
    for note in info_notes(loaded):
        echo_folded(note)


def _show_cache(json: bool) -> None:
    from bnn.system.cache import describe

    values = describe()
    if json:
        _print_json(dict(values))
        return
    typer.echo(harmless(f"{values['folder']}: {values['bytes']:,} bytes (BNN_CACHE says where)"))
    parts = values["parts"]
    for name, size in parts.items() if isinstance(parts, dict) else ():
        typer.echo(harmless(f"{name:24} {size:,}"))


def models(json: Json = False) -> None:
    """List the bundled models, and parameter sets under BNN_PARAMS."""
    from bnn.library import line_sets, parameter_sets

    names = [(name, "bundled") for name in bnn.bundled()]
    names += [(f"{data}-{net}", str(place)) for data, net, place in parameter_sets()]
    names += [(f"{kind}-{net.lower()}", str(place)) for kind, net, place in line_sets()]
    for name, place in names:
        if json:
            _print_json({"name": name, "place": place})
        else:
            typer.echo(harmless(f"{name:24} {place}"))
    if not json and names:
        next_step("info", names[0][0], why="its layers, operations and bytes")


def demo() -> None:
    """Classify the bundled pictures on the cpu and the reference runtime, side by side."""
    from bnn.commands.demo import show
    from bnn.commands.tables import MIN_WIDTH

    for part in show():
        print_whole(part, MIN_WIDTH)


def command_line(verb: str | None = None) -> typer.Typer:
    """Return the command line with every verb, or only with ``verb`` if it is the name of a verb.

    With one verb it starts sooner, because the modules of the other verbs are not imported.
    """
    line = typer.Typer(
        name="bnn",
        help="Binarized neural networks, exact and fast.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    line.callback()(_options)
    for name, module in VERBS.items():
        if verb not in VERBS or name == verb:
            function = getattr(import_module(f"bnn.commands.{module}"), name)
            line.command(name, help=_help(function))(function)
    return line


def _help(function: Callable[..., None]) -> str:
    """The docstring with a line per paragraph: the terminal's width breaks it, not the source's."""
    paragraphs = (getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def __getattr__(name: str) -> typer.Typer:
    """Return ``app``, the whole command line, for programs that call it in their own process."""
    if name != "app":
        raise AttributeError(name)
    app = globals()["app"] = command_line()
    return app


def _classifier(
    model: str,
    runtime: str,
    threads: int | None,
    trace: Path | None = None,
    reject: float | None = None,
) -> Classifier:
    options: dict[str, Any] = {} if threads is None else {"threads": threads}
    loaded = bnn.load(model)
    if runtime != "sim":
        if trace is not None:
            raise BnnError(f"--trace is for the runtime sim, not for {runtime}")
        return bnn.Classifier(loaded, runtime, reject=reject, **options)
    from bnn.system.progress import building

    if threads is not None:
        raise BnnError(f"--threads is for the runtime cpu, not for {runtime}")
    with building() as progress:
        return bnn.Classifier(loaded, "sim", reject=reject, trace=trace, progress=progress)


def _print_json(values: dict[str, Any]) -> None:
    typer.echo(json_text.dumps(values))


def main() -> None:
    """Run the command line on ``sys.argv``.

    An error that the user can mend is printed as one line on standard error; the status is then 1.
    """
    plain_where_needed()
    try:
        with notices_on_one_line():
            if "" in sys.argv[1:]:  # as a path it would be the folder of now
                raise BnnError("an argument is empty; is a variable of the shell not set?")
            command_line(sys.argv[1] if len(sys.argv) > 1 else None)()
    except BnnError as reason:
        for line in reason.lines if isinstance(reason, UnreadableError) else ():
            typer.echo(f"bnn: {harmless(line)}", err=True)
        typer.echo(f"bnn: {harmless(str(reason))}", err=True)
        sys.exit(1)
    except MemoryError:
        typer.echo("bnn: not enough memory", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has ended, as in `bnn models | head -1`.
        sys.stderr.close()
        sys.exit(1)
    except OSError as reason:
        # For example a full disk. Errors of a user's files are BnnErrors already.
        where = "standard output" if reason.filename is None else str(reason.filename)
        typer.echo(f"bnn: {harmless(where)}: {reason.strerror or reason}", err=True)
        sys.exit(1)
