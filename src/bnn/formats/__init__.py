# SPDX-License-Identifier: BSD-3-Clause
"""Other people's files: one module per format. Nothing here executes what it reads."""
