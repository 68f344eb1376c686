# SPDX-License-Identifier: BSD-3-Clause
"""The command line, one module a verb: parse, call, print."""
