# SPDX-License-Identifier: BSD-3-Clause
"""``bnn convert``: from another framework's file to ``.bnn``, or from a model to another format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnn.commands.hints import next_step
from bnn.system.terminal import harmless

if TYPE_CHECKING:
    from bnn.formats.convert import Conversion, Options, Rounding
    from bnn.measure.agreement import Verification
    from bnn.model.model import Model

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="File or folder of another framework, or a model.")
]


def convert(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="File or folder to write.")],
    source_format: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="bnn-pynq, brevitas, chainer, keras, lstm-pynq, qonnx, theano; or recognised.",
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="bnn-pynq, c or qonnx, instead of .bnn.")
    ] = None,
    topology: Annotated[
        str | None,
        typer.Option(
            "--topology",
            "--architecture",
            help="lfc, cnv, a network's name, a TOML file; of Keras weights, a JSON file.",
        ),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="Text file of class names, one per line.")
    ] = None,
    given_input: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Values of an unquantized input: unit, symmetric, bytes, bipolar, int4, "
            "int8/16, fixed<16,6>, mean=0.13,std=0.31 ...",
        ),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option("--pictures", help="Take pictures; bytes become unit, symmetric or bytes."),
    ] = None,
    rounding: Annotated[
        str,
        typer.Option(
            "--rounding", help="Theano: exact, or original: rounds as the original's tool."
        ),
    ] = "exact",
    fold: Annotated[str | None, typer.Option("--fold", hidden=True)] = None,
    flipped: Annotated[
        bool, typer.Option("--flipped", help="Theano: kernels are turned (Lasagne's default).")
    ] = False,
    quantizer: Annotated[
        list[str] | None,
        typer.Option(
            "--quantizer",
            help="Keras: what a function of your own is: my>bsign=ste_sign. May be repeated.",
        ),
    ] = None,
    fires_at: Annotated[
        float | None,
        typer.Option("--fires-at", help="To bnn-pynq, LFC: the logit from which a class fires."),
    ] = None,
    folding: Annotated[
        str | None,
        typer.Option("--folding", help="bnn-pynq: PExSIMD of every layer, as 32x64,64x32,..."),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option("--verify", metavar="DATA", help="mnist, cifar10, a folder, or an npz."),
    ] = None,
) -> None:
    """Convert a trained network of another framework, or write a model in another format.

    Example: [bold]bnn convert trained.h5 --verify mnist -o trained.bnn[/bold]
    """
    from bnn.errors import FormatError, ModelFileError
    from bnn.formats.convert import (
        Options,
        check_export,
        check_mapping,
        export,
        parse_folding,
        read_classes,
        rounded_text,
        taking_pictures,
    )
    from bnn.model.figures import takes_text
    from bnn.model.file import SUFFIX, save
    from bnn.system.files import check_writable

    if fold is not None:
        raise FormatError(f"--fold is called --rounding now: use --rounding {fold}")
    if rounding not in ("exact", "original"):
        raise FormatError(f"--rounding is exact or original, not {rounding!r}")
    if to is None and out.suffix != SUFFIX:
        raise FormatError(f"{out}: a model file ends with {SUFFIX}; other formats need --to")
    for option, value in (("--fires-at", fires_at), ("--folding", folding)):
        if to is None and value is not None:
            raise FormatError(f"{option} is for --to bnn-pynq; remove it, or add --to bnn-pynq")
    if to is not None:
        check_export(to, out, folding, fires_at)
    else:
        check_writable(out, ModelFileError)
    if pictures is not None:
        check_mapping(pictures, given_input)
    names = None if classes is None else read_classes(classes)
    how: Rounding = "original" if rounding == "original" else "exact"
    told = tuple(_told(text) for text in quantizer or ())
    options = Options(topology, names, given_input, how, flipped, told)
    pairs = None if folding is None else parse_folding(folding)
    conversion = _conversion(source, source_format, options, is_exported=to is not None)
    told_later = pictures is not None and given_input is None
    if told_later and conversion.report.assumed not in ("", pictures):
        options = replace(options, input=pictures)  # nothing quantizes it: so pictures say it
        conversion = _conversion(source, source_format, options, is_exported=to is not None)
    for line in conversion.report.lines():
        typer.echo(harmless(line))
    model = conversion.model if pictures is None else taking_pictures(conversion.model, pictures)
    if pictures is not None and conversion.report.assumed not in ("", pictures):
        typer.echo(harmless(f"  not kept: {rounded_text(conversion.model, pictures)}"))
    typer.echo(harmless(f"  takes: {takes_text(model)}"))
    found = None if verify is None else _verify(conversion, source, verify, pictures or given_input)
    if found is not None and conversion.report.approximate:
        model = _measured(model, found)
    if to is None:
        save(model, out)
    else:
        for note in export(model, to, out, pairs, fires_at):
            typer.echo(harmless(f"  not kept: {note}"))
    typer.echo(f"wrote {out}")
    if out.suffix == ".bnn":
        next_step("info", out, why="its layers, operations and bytes")
    if found is not None and found.failed:
        typer.echo(f"bnn: {out}: was written, but its predictions differ; see above", err=True)
        raise typer.Exit(1)


def _told(text: str) -> tuple[str, str]:
    """Return the two names in ``NAME=KNOWN``, the value of ``--quantizer``."""
    from bnn.errors import FormatError

    name, _, known = text.partition("=")
    if not name or not known:
        raise FormatError(f"--quantizer is NAME=KNOWN, such as my>bsign=ste_sign, not {text!r}")
    return name, known


def _conversion(
    source: str, source_format: str | None, options: Options, *, is_exported: bool
) -> Conversion:
    """Return the conversion of the file ``source``.

    A ``.bnn`` file or a bundled model is only loaded, because it will be exported.
    """
    import bnn
    from bnn.errors import FormatError
    from bnn.formats.convert import Conversion, Options, convert, recognise
    from bnn.formats.report import Report
    from bnn.model.file import SUFFIX

    path = Path(source)
    is_model = not path.exists() or path.suffix == SUFFIX
    if source_format is None and is_model:
        model = bnn.load(source)
        if not is_exported:
            raise FormatError(f"{source}: is a model already; choose another format with --to")
        if options != Options():
            raise FormatError(
                f"{source}: is a model already; --topology, --classes, --input, --rounding, "
                "--flipped and --quantizer are for other frameworks' files"
            )
        return Conversion(model, Report(f"model {model.name}"))
    return convert(path, source_format or recognise(path), options)


def _measured(model: Model, found: Verification) -> Model:
    """Return ``model``, which is approximate, with the comparisons' results in its provenance."""
    notes = [*model.provenance["approximate"], *(one.line() for one in found.comparisons)]
    return replace(model, provenance={**model.provenance, "approximate": notes})


def _verify(conversion: Conversion, source: str, data: str, grid: str | None) -> Verification:
    """Compare the converted model with its source on ``data``; print and return the result."""
    from bnn.measure.agreement import read_samples, verify
    from bnn.system.progress import progress

    known = grid if grid in ("unit", "symmetric", "bytes") else None
    samples = read_samples(data, conversion, known)
    if conversion.report.format == "QONNX":
        typer.echo("running the file in onnx.reference, for a minute at most", err=True)
    with progress("onnx.reference") as advance:
        found = verify(conversion, samples, source=Path(source), advance=advance)
    for line in found.lines():
        typer.echo(harmless(line))
    return found
