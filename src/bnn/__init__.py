# SPDX-License-Identifier: BSD-3-Clause
"""BNN-PYNQ re-created: networks of bits on the CPU, in simulation and on PYNQ boards."""

from __future__ import annotations

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """Look up ``__version__`` on first use, so that ``import bnn`` costs nothing."""
    if name == "__version__":
        from importlib.metadata import version

        return version("bnn-pynq")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
