# SPDX-License-Identifier: BSD-3-Clause
"""Settings of the memory allocator for training's large, short-lived tensors."""

from __future__ import annotations

import ctypes
import os
import platform

#: (parameter, value) for glibc's ``mallopt``: freed memory is kept for the next tensor.
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
NEVER, AHEAD = 2**31 - 1, 2**26


def keep_memory() -> bool:
    """Set the C library to keep freed memory, and PyTorch to use large pages.

    Call this before PyTorch is imported. By default glibc gets the memory of each large tensor
    from the operating system, and returns it when the tensor is freed. The operating system clears
    this memory every time, which takes a quarter of a training step on a CPU.

    Returns:
        Whether the C library keeps freed memory from now on.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if platform.libc_ver()[0] != "glibc":
        return False
    options = ((MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER), (TOP_PAD, AHEAD))
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, value) == 1 for option, value in options)
