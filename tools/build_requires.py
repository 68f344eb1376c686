# SPDX-License-Identifier: BSD-3-Clause
"""Print the build requirements of pyproject.toml, one per line, quoted for the shell.

With ``--oldest``: the package's own requirements instead, each at the oldest version admitted.
"""

import re
import shlex
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:  # pip carries its own reader for the Pythons that have none
    from pip._vendor import tomli as tomllib

pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
if sys.argv[1:] == ["--oldest"]:
    named = (re.match(r"([\w-]+)>=([\w.]+)", one) for one in pyproject["project"]["dependencies"])
    wanted = [f"{one[1]}=={one[2]}" for one in named if one is not None]
else:
    wanted = pyproject["build-system"]["requires"]
for requirement in wanted:
    sys.stdout.write(shlex.quote(requirement) + "\n")
