# SPDX-License-Identifier: BSD-3-Clause
"""The command line in a process of its own, which may be killed."""

import os
import sys


def command(*arguments: str) -> None:
    """Run ``bnn`` and say nothing."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        sys.stdout = sys.stderr = nowhere
        sys.argv = ["bnn", *arguments]
        from bnn.commands.main import main

        main()
