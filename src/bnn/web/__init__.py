# SPDX-License-Identifier: BSD-3-Clause
"""The web page that runs the C++ core in a browser: its files, a local server, an export."""
