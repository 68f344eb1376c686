# SPDX-License-Identifier: BSD-3-Clause
"""``python -m bnn``: the command line, where ``bnn`` itself is not on the path."""

from bnn.commands.main import main

if __name__ == "__main__":
    main()
