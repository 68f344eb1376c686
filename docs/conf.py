# SPDX-License-Identifier: BSD-3-Clause
"""The site of these pages: ``make docs`` builds it in English and Japanese, offline.

Translations are in ``locale/ja`` (gettext). ``make docs-translate`` brings them up to date with the
English pages; ``tools/check_translations.py`` refuses missing and stale paragraphs.
"""

import os
import re
import sys
from importlib.metadata import version as installed

from docutils import nodes
from docutils.parsers.rst import Directive, directives

for folder in (".", "../tools"):
    sys.path.insert(0, os.path.abspath(folder))  # noqa: PTH100 (the current folder is Sphinx' choice)

import japanese_comments  # noqa: E402
from check_translations import PAGES  # noqa: E402
from japanese_search import SearchByPairs  # noqa: E402

project = "bnn-pynq"
author = "the bnn-pynq developers"
release = version = installed("bnn-pynq")

extensions = [
    "myst_parser",  # the pages are Markdown
    "sphinx.ext.autodoc",  # the API from docstrings
    "sphinx.ext.napoleon",  # which have Args:, Returns:, Raises:
    "sphinxcontrib.programoutput",  # commands in the pages are run when the site is built
]
# BNN_DOCS_COMMANDS=0: the pages without their commands' output, for checks of all the rest.
RUNS_COMMANDS = os.environ.get("BNN_DOCS_COMMANDS", "1") != "0"
if not RUNS_COMMANDS:
    extensions.remove("sphinxcontrib.programoutput")
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "locale"]
myst_heading_anchors = 4
# Links to files that are not pages work where the tree is shown, not in the site.
suppress_warnings = ["myst.xref_missing"]
nitpicky = False
programoutput_prompt_template = "$ {command}\n{output}"

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True

language = "en"
locale_dirs = ["locale"]
gettext_compact = False
gettext_location = False  # line numbers would change with every paragraph above

highlight_language = "text"  # of blocks that name none: tables of results, folders

html_theme = "furo"
html_title = "bnn-pynq"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
html_context = {"languages": {"en": "English", "ja": "日本語"}}
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "languages.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}


#: Titles of pages that are not translated, in the Japanese menu.
JAPANESE_TITLES = {
    "api": "Python インターフェース",
    "specification": "BNN-PYNQ の仕様",
    "vocabulary": "用語の一覧",
}
ENGLISH = "（英語）"  # noqa: RUF001 (a Japanese bracket)
NOT_TRANSLATED = "このページはまだ日本語になっていません。英語のまま表示しています。"


class _NotRun(Directive):
    """The place of a command that is not run: the command without its output."""

    has_content, required_arguments, final_argument_whitespace = True, 1, True
    option_spec = {"cwd": str, "nostderr": directives.flag}  # noqa: RUF012 (read by docutils)

    def run(self):
        command = f"$ {self.arguments[0]}"
        return [nodes.literal_block(command, command, language="text")]


class _Page(Directive):
    """The page of ``bnn web``, beside the site in docs/_build, at the view that is named."""

    required_arguments = 1

    def run(self):
        language = self.state.document.settings.env.config.language
        address = f"../page/index.html?show={self.arguments[0]}&lang={language}"
        frame = f'<iframe class="page" src="{address}" loading="lazy" title="bnn web"></iframe>'
        return [nodes.raw("", frame, format="html")]


def _say_if_english(app, pagename, _template, context, doctree):
    """A Japanese reader of a page that is not translated is told so."""
    if app.config.language == "ja" and doctree is not None and pagename not in PAGES:
        context["body"] = f'<p class="untranslated" lang="ja">{NOT_TRANSLATED}</p>{context["body"]}'


def _name_english_pages(app, env):
    """The Japanese menu has a Japanese title for each page, and says which are in English."""
    if app.config.language != "ja":
        return
    for page in env.found_docs - set(PAGES):
        title = JAPANESE_TITLES.get(page, env.titles[page].astext()) + ENGLISH
        env.titles[page] = nodes.title(title, title)
        for link in list(env.tocs[page].findall(nodes.reference))[:1]:
            link.children = []
            link += nodes.Text(title)


def _for_japanese(app, doctree, _docname):
    """Comments in code in Japanese; links to pages in English say so."""
    if app.config.language != "ja":
        return
    japanese = japanese_comments.load()
    for block in doctree.findall(nodes.literal_block):
        if block.get("language") in japanese_comments.LANGUAGES:
            block.rawsource = japanese_comments.translate(block.astext(), japanese)
            block.children = []
            block += nodes.Text(block.rawsource)
    for link in doctree.findall(nodes.reference):
        page = link.get("refuri", "").partition("#")[0].removesuffix(".html")
        if link.get("internal") and page in app.env.found_docs - set(PAGES):
            link += nodes.Text(ENGLISH)


#: Between the groups of digits of a number, and before its unit.
_IN_NUMBER = re.compile(r"(?<=\d) (?=\d{3}(?!\d)|%|(?:MHz|[mu]?s|[KMGT]iB)\b)")
NO_BREAK_SPACE = "\u00a0"
#: Code of at most so many characters, without a space, is kept on one line.
MAX_WHOLE = 24


def _keep_together(_app, doctree, _docname):
    """Numbers (12 345, 6 %) and short code (--folding) are not broken at the end of a line."""
    for text in list(doctree.findall(nodes.Text)):
        parents = (nodes.literal_block, nodes.literal)
        if _IN_NUMBER.search(text) and not isinstance(text.parent, parents):
            text.parent.replace(text, nodes.Text(_IN_NUMBER.sub(NO_BREAK_SPACE, text)))
    for code in doctree.findall(nodes.literal):
        words = code.astext()
        if len(words) <= MAX_WHOLE and " " not in words:
            code["classes"].append("whole")


_COMMANDS = re.compile(r'<div class="highlight-sh [^"]*">.*?</pre>', re.DOTALL)
_HYPHENATED = re.compile(rf"(?<=[ >\n=])(?=[^ <\n]{{2,{MAX_WHOLE}}}[ <\n])[\w.@/-]*-[\w.@/-]*")


def _whole_options(_app, _pagename, _template, context, doctree):
    """Where a phone continues a command on the next line, it does so between its words."""
    if doctree is not None:
        context["body"] = _COMMANDS.sub(
            lambda block: _HYPHENATED.sub(r'<span class="whole">\g<0></span>', block[0]),
            context["body"],
        )


def setup(app):
    """Called by Sphinx."""
    app.add_search_language(SearchByPairs)
    app.connect("html-page-context", _say_if_english)
    app.connect("html-page-context", _whole_options)
    app.connect("env-check-consistency", _name_english_pages)
    app.connect("doctree-resolved", _for_japanese)
    app.connect("doctree-resolved", _keep_together)
    app.add_directive("page", _Page)
    if not RUNS_COMMANDS:
        app.add_directive("command-output", _NotRun)
