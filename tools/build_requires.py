# SPDX-License-Identifier: BSD-3-Clause
"""Print the build requirements of pyproject.toml, one per line, quoted for the shell."""

import shlex
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:  # pip carries its own reader for the Pythons that have none
    from pip._vendor import tomli as tomllib

pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
for requirement in pyproject["build-system"]["requires"]:
    sys.stdout.write(shlex.quote(requirement) + "\n")
