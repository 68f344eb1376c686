# SPDX-License-Identifier: BSD-3-Clause
"""The frame of all HTML pages that this package writes; a page loads no other files.

Colours are light or dark as the reader's system is. Texts that :func:`both` made are in English and
Japanese: the page first shows the language of the browser, and a button changes it.
"""

from __future__ import annotations

#: Colours, as on the page of ``bnn web``.
COLOURS = """:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #1d2327;
  --faint: #5b646c; --line: #d8dbdd; --accent: #1f66b3; --best: #1f7a4d; --error: #a32424;
  --stripe: #f1f1ee }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --card: #1d2327; --ink: #e8eaec;
  --faint: #a3adb5; --line: #384149; --accent: #6db3f2; --best: #63cf97; --error: #ff9a8f;
  --stripe: #20272c } }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{colours}
* {{ box-sizing: border-box }}
body {{ font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "Hiragino Sans", "Noto Sans CJK JP",
       "Noto Sans JP", sans-serif; max-width: 64em; margin: 0 auto; padding: 1rem;
       color: var(--ink); background: var(--paper); overflow-wrap: anywhere }}
h1 {{ font-size: 1.6rem; line-height: 1.2 }} h2 {{ font-size: 1.15rem; margin-top: 2rem }}
a {{ color: var(--accent) }} .hint {{ color: var(--faint) }}
.wide {{ max-width: 100%; overflow-x: auto }}
table {{ border-collapse: collapse }} td, th {{ padding: .2em .8em; text-align: right }}
table:not(.grid) {{ overflow-wrap: normal }}
pre {{ white-space: pre-wrap }} pre, code {{ overflow-wrap: anywhere }}
svg {{ max-width: 100%; height: auto }}
svg:not([class]) {{ background: #fff; border-radius: .4rem }}
svg text {{ font-family: system-ui, sans-serif }}
:focus-visible {{ outline: 3px solid var(--accent); outline-offset: 2px }}
button {{ min-height: 2.2rem; padding: .2rem .8rem; font: inherit; color: var(--ink);
         background: var(--card); border: 1px solid var(--line); border-radius: .4rem }}
#language {{ float: right }}
html[lang=en] :is(span, p)[lang=ja], html[lang=ja] :is(span, p)[lang=en] {{ display: none }}
@media (max-width: 40rem) {{ td, th {{ padding: .2em .4em }} }}
{style}</style></head>
<body>
{language}<main>
<h1>{title}</h1>
{body}
</main>
</body></html>
"""

#: Button and script that show and change the language. A page loads no files, so it has these.
_LANGUAGE = """<button id="language" type="button" lang="ja" hidden>日本語</button>
<script>
const root = document.documentElement, button = document.getElementById("language");
function show(language) {
  root.lang = language;
  button.lang = language === "ja" ? "en" : "ja";
  button.textContent = language === "ja" ? "English" : "日本語";
}
show((navigator.language || "en").startsWith("ja") ? "ja" : "en");
button.hidden = false;
button.onclick = () => show(root.lang === "ja" ? "en" : "ja");
</script>
"""

#: Style of tables whose first and last columns are text.
STRIPED = """td:first-child, th:first-child, td:last-child, th:last-child { text-align: left }
tr:nth-child(even) { background: var(--stripe) }
"""


def page(title: str, body: str, style: str = "") -> str:
    """Return an HTML page with ``title`` as its heading.

    Args:
        title, body: HTML; the caller must escape texts from a user's file.
        style: CSS of this page, in addition to the CSS of all pages.
    """
    language = _LANGUAGE if 'lang="ja"' in body else ""
    return _PAGE.format(title=title, body=body, style=style, language=language, colours=COLOURS)


def both(english: str, japanese: str) -> str:
    """Return HTML with a text in two languages; the page shows one of them.

    ``english`` and ``japanese`` are HTML; the caller must escape texts from a user's file.
    """
    return f'<span lang="en">{english}</span><span lang="ja">{japanese}</span>'
