# SPDX-License-Identifier: BSD-3-Clause
"""Programs of other projects that this package runs: Verilator, Yosys, nextpnr, Project X-Ray."""
