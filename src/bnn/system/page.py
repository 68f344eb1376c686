# SPDX-License-Identifier: BSD-3-Clause
"""The frame of every HTML page that is written; pages are self-contained."""

from __future__ import annotations

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto; padding: 0 1em;
       color: #1a1a2e; background: #fff }}
table {{ border-collapse: collapse }} td, th {{ padding: .2em .8em; text-align: right }}
pre {{ white-space: pre-wrap }} pre, code {{ overflow-wrap: anywhere }}
svg {{ max-width: 100%; height: auto }} svg text {{ font-family: system-ui, sans-serif }}
{style}</style>
<h1>{title}</h1>
{body}
</html>
"""

#: Style of tables whose first and last columns are text.
STRIPED = """td:first-child, th:first-child, td:last-child, th:last-child { text-align: left }
tr:nth-child(even) { background: #f3f4f8 }
"""


def page(title: str, body: str, style: str = "") -> str:
    """Return an HTML page with ``title`` as its heading.

    Args:
        title, body: HTML; the caller escapes what comes from a user's file.
        style: CSS in addition to that of all pages.
    """
    return _PAGE.format(title=title, body=body, style=style)
