# SPDX-License-Identifier: BSD-3-Clause
"""Access to the machine: files, the cache folder, archives, the terminal, progress, pip."""
