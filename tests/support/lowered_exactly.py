# SPDX-License-Identifier: BSD-3-Clause
"""What it means that a program equals the network it was lowered from."""

import numpy as np

from bnn.lower import trace
from bnn.network import forward
from bnn.network.network import Network
from bnn.program import semantics
from bnn.program.program import Program
from bnn.run import reference


def assert_lowered_exactly(network: Network, inputs: np.ndarray) -> Program:
    """Every activation, score and class of ``network`` and of its program are equal."""
    lowered = trace(network)
    program = lowered.program
    checked = program.input.check(inputs)
    edges = semantics.evaluate(program, checked)
    expected = forward.evaluate(network, checked)
    activations = 0
    for name, carried in lowered.carried.items():
        whole = carried.step * edges[carried.edge] + carried.base
        np.testing.assert_array_equal(whole, expected.values[name].integers, err_msg=name)
        low, high = program.edges[carried.edge].low, program.edges[carried.edge].high
        assert (low, high) == (carried.low, carried.high), name
        activations += 1
    outputs = reference.prepare(program).run(checked)
    assert program.affine is not None
    logits = program.affine.logits(outputs.scores)
    np.testing.assert_array_equal(logits, expected.logits)
    np.testing.assert_array_equal(logits.argmax(axis=1), expected.classes)
    kinds = sum(hasattr(layer, "level") for layer in network.layers)
    assert activations >= kinds  # nothing was skipped
    return program
