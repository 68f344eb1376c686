# SPDX-License-Identifier: BSD-3-Clause
"""Learn from trained networks: ``bnn train --teacher RUN_OR_MODEL``.

A student learns not only the right class of a picture, but also the probabilities that trained
networks (teachers) give to all classes: Hinton, Vinyals, Dean, "Distilling the Knowledge in a
Neural Network", 2015. The deployed network has the same size as without teachers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from bnn.classifier import logits
from bnn.errors import TrainError
from bnn.lower import lower
from bnn.network.topology import Topology
from bnn.program.program import Program
from bnn.run import prepare
from bnn.train.extract import extract
from bnn.train.stack import Stack


class Teacher:
    """A trained network that answers with logits.

    Without a GPU the ``cpu`` runtime computes the teacher's answers: exactly, and several times
    faster than a forward pass of PyTorch.

    Args:
        program: integer program of the network.
        stack: the same network in PyTorch, which is used on a GPU; None if there is only the
            program.
    """

    def __init__(self, program: Program, stack: Stack | None = None) -> None:
        self.program = program
        self._stack = None if stack is None else stack.eval()
        self._runtime = prepare("cpu", program, threads=torch.get_num_threads())

    @classmethod
    def of(cls, stack: Stack) -> Teacher:
        """Return a stack as a teacher; the stack is put into evaluation mode."""
        return cls(lower(extract(stack.eval())), stack)

    def to(self, device: torch.device) -> None:
        """Move the teacher to the device of the pictures."""
        if self._stack is not None:
            self._stack.to(device)

    def logits(self, pictures: Tensor) -> Tensor:
        """Return the logits, float32 (N, classes), of pictures, uint8 (N, *input shape)."""
        if pictures.device.type != "cpu" and self._stack is not None:
            with torch.no_grad():
                answer: Tensor = self._stack(pictures)
                return answer
        scores = self._runtime.run(pictures.cpu().numpy()).scores
        return torch.from_numpy(logits(self.program, scores)).float().to(pictures.device)

    def check(self, student: Topology, name: str) -> None:
        """Refuse a student whose input shape or number of classes is not the teacher's.

        Raises:
            TrainError: ``student`` does not fit; the message begins with the teacher's ``name``.
        """
        shape, classes = self.program.input.shape, self.program.classes
        if shape != student.input:
            raise TrainError(f"{name}: takes pictures of {shape}, its student {student.input}")
        if classes != student.classes:
            raise TrainError(f"{name}: has {classes} classes, its student {student.classes}")


class Teachers:
    """Several teachers; a student learns the mean of their probabilities.

    Args:
        teachers: at least one teacher.
        temperature: the logits of teachers and student are divided by it. The higher it is, the
            more weight have the less likely classes.
    """

    def __init__(self, teachers: Sequence[Teacher], temperature: float) -> None:
        self.teachers, self.temperature = teachers, temperature

    def to(self, device: torch.device) -> None:
        """Move the teachers to the device of the pictures."""
        for teacher in self.teachers:
            teacher.to(device)

    def loss(self, pictures: Tensor, answers: Tensor) -> Tensor:
        """Return the cross entropy of the student and the mean of the teachers' probabilities.

        It is multiplied by the square of the temperature, so that the gradients keep their size.

        Args:
            pictures: uint8 (N, *input shape).
            answers: the student's logits, float32 (N, classes).
        """
        known = [(one.logits(pictures) / self.temperature).softmax(1) for one in self.teachers]
        wanted = torch.stack(known).mean(0)
        return F.cross_entropy(answers / self.temperature, wanted) * self.temperature**2
