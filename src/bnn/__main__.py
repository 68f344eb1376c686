# SPDX-License-Identifier: BSD-3-Clause
"""``python -m bnn``: the command line, for shells that do not find the command ``bnn``."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while its modules are still being imported ends it quietly."""
    try:
        from bnn.commands.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("bnn: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
