# SPDX-License-Identifier: BSD-3-Clause
"""A page of its own, in one file that needs no other: title, summary, picture, tables."""

from __future__ import annotations

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 64em; color: #1a1a2e }}
table {{ border-collapse: collapse }} td, th {{ padding: .2em .8em; text-align: right }}
td:first-child, th:first-child, td:last-child, th:last-child {{ text-align: left }}
tr:nth-child(even) {{ background: #f3f4f8 }} svg {{ max-width: 100%; height: auto }}
svg text {{ font-family: system-ui, sans-serif }}
</style>
<h1>{title}</h1>
<p>{summary}</p>
{picture}
{tables}
</html>
"""


def page(title: str, summary: str, picture: str, tables: str) -> str:
    """All four are HTML already: what comes from a user's file is escaped by who calls."""
    return _PAGE.format(title=title, summary=summary, picture=picture, tables=tables)
