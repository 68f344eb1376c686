# SPDX-License-Identifier: BSD-3-Clause
"""``python -m bnn``: the command line, for shells that do not find the command ``bnn``."""

from bnn.commands.main import main

if __name__ == "__main__":
    main()
