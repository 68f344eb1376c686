# SPDX-License-Identifier: BSD-3-Clause
"""Learn from trained networks: ``bnn train --teacher RUN_OR_MODEL``.

A student is told not only the right class of a picture but how alike the others look to
a network that knows: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural
Network", 2015. What is deployed is the same network at the same cost.
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

    Without a GPU its integers answer, on the ``cpu`` runtime: exact, and several times
    sooner than a forward pass of PyTorch.

    Args:
        program: what it deploys to.
        stack: the network itself, which answers on a GPU; None where there is none.
    """

    def __init__(self, program: Program, stack: Stack | None = None) -> None:
        self.program = program
        self._stack = None if stack is None else stack.eval()
        self._runtime = prepare("cpu", program, threads=torch.get_num_threads())

    @classmethod
    def of(cls, stack: Stack) -> Teacher:
        """A stack as a teacher; it is put into evaluation mode."""
        return cls(lower(extract(stack.eval())), stack)

    def to(self, device: torch.device) -> None:
        """Move it to the device of the pictures."""
        if self._stack is not None:
            self._stack.to(device)

    def logits(self, pictures: Tensor) -> Tensor:
        """float32 (N, classes) of uint8 (N, *input shape), where these are."""
        if pictures.device.type != "cpu" and self._stack is not None:
            with torch.no_grad():
                answer: Tensor = self._stack(pictures)
                return answer
        scores = self._runtime.run(pictures.cpu().numpy()).scores
        return torch.from_numpy(logits(self.program, scores)).float().to(pictures.device)

    def check(self, student: Topology, name: str) -> None:
        """Refuse to teach other pictures or classes.

        Raises:
            TrainError: ``student`` has these; ``name`` is the teacher's.
        """
        shape, classes = self.program.input.shape, self.program.classes
        if shape != student.input:
            raise TrainError(f"{name}: takes pictures of {shape}, its student {student.input}")
        if classes != student.classes:
            raise TrainError(f"{name}: has {classes} classes, its student {student.classes}")


class Teachers:
    """Teachers, whose mean probabilities a student learns.

    Args:
        teachers: at least one.
        temperature: logits of both sides are divided by it, so that the less likely classes
            count.
    """

    def __init__(self, teachers: Sequence[Teacher], temperature: float) -> None:
        self.teachers, self.temperature = teachers, temperature

    def to(self, device: torch.device) -> None:
        """Move them to the device of the pictures."""
        for teacher in self.teachers:
            teacher.to(device)

    def loss(self, pictures: Tensor, answers: Tensor) -> Tensor:
        """Cross entropy to the teachers' probabilities, of gradients independent of temperature.

        Args:
            pictures: uint8 (N, *input shape).
            answers: the student's logits, float32 (N, classes).
        """
        known = [(one.logits(pictures) / self.temperature).softmax(1) for one in self.teachers]
        wanted = torch.stack(known).mean(0)
        return F.cross_entropy(answers / self.temperature, wanted) * self.temperature**2
