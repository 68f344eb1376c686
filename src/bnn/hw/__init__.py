# SPDX-License-Identifier: BSD-3-Clause
"""Hardware: blocks in SystemVerilog (``rtl``), their Python objects, and designs made of them."""
