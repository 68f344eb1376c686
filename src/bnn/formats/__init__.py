# SPDX-License-Identifier: BSD-3-Clause
"""Files of other frameworks: a module or folder per format. Nothing in a file is executed."""
