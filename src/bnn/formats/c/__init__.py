# SPDX-License-Identifier: BSD-3-Clause
"""A model as C99, for microcontrollers and for programs without Python.

:func:`save` writes a folder: ``NAME.h``, ``NAME.c`` (constants and plain functions), a test with
answers of the reference runtime, and a Makefile. The code allocates nothing and needs no library.
"""

from bnn.formats.c.write import check_folder, save

__all__ = ["check_folder", "save"]
