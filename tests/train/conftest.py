# SPDX-License-Identifier: BSD-3-Clause
"""Training's tests need the ``train`` extra; each file is skipped by name without it."""

from importlib.util import find_spec

if find_spec("torch") is not None:
    import torch

    # The test runner's processes have the cores already.
    torch.set_num_threads(1)
