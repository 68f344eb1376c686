# SPDX-License-Identifier: BSD-3-Clause
"""Access to the machine: files, cache folder, archives, terminal, progress, pip's command."""
