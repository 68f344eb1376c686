# SPDX-License-Identifier: BSD-3-Clause
"""The page that runs the core in a browser: its files (``site/``), a local server, an export."""
