# SPDX-License-Identifier: BSD-3-Clause
"""Other people's tools: Verilator, Yosys, nextpnr, and what makes a bitstream."""
