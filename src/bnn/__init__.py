# SPDX-License-Identifier: BSD-3-Clause
"""BNN-PYNQ re-created: networks of bits on the CPU, in simulation and on PYNQ boards."""
