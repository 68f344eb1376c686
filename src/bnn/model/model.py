# SPDX-License-Identifier: BSD-3-Clause
"""A model: a program, the names of its classes, and how pictures become its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from bnn._checked import Checked
from bnn.data.pictures.preprocess import Preprocess
from bnn.errors import ProgramError
from bnn.model.calibration import Calibration
from bnn.model.lines import Lines
from bnn.program.program import Program


@dataclass(frozen=True, eq=False)
class Model(Checked):
    """A program with everything that is needed to use it; the contents of a ``.bnn`` file.

    Attributes:
        program: the program that is run.
        classes: the name of each class, in order.
        preprocess: how any picture becomes the input's bytes; None for models that do not take
            pictures, and for models of text lines.
        provenance: where the model came from, as plain JSON values (training recipe, accuracy,
            converted file ...). Nothing here changes a result.
        name: name of the model, for messages.
        lines: how a picture of a text line becomes columns, and how the class sums of the columns
            become characters; None for other models. The classes of a model with ``lines`` are
            the characters of its alphabet; class 0 is the blank.
        calibration: how logits become probabilities; None if this was not measured: then the model
            gives scores and logits, but no probabilities.
    """

    program: Program
    classes: tuple[str, ...]
    preprocess: Preprocess | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    name: str = "model"
    calibration: Calibration | None = None
    lines: Lines | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))
        if any(not isinstance(name, str) for name in self.classes):
            raise ProgramError("class names must be text")
        if self.calibration is not None and not isinstance(self.calibration, Calibration):
            raise ProgramError(f"calibration is a Calibration or None, not {self.calibration!r}")
        if self.lines is not None and not isinstance(self.lines, Lines):
            raise ProgramError(f"lines is Lines or None, not {self.lines!r}")
        if len(self.classes) != self.program.classes:
            raise ProgramError(f"{len(self.classes)} class names for {self.program.classes} scores")

    def __eq__(self, other: object) -> bool:
        """Whether every attribute is equal; programs are compared by their digest."""
        return _parts(self) == _parts(other) if isinstance(other, Model) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.program, self.classes, self.name))

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {len(self.classes)} classes, {self.program!r})"

    def _repr_html_(self) -> str:
        """Return what the model is, and a table of its layers, for notebooks."""
        from bnn.model.html import model_html

        return model_html(self)


def _parts(model: Model) -> tuple[Any, ...]:
    return tuple(getattr(model, item.name) for item in fields(model))
