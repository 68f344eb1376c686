# SPDX-License-Identifier: BSD-3-Clause
"""The site of these pages: ``make docs`` builds it in English and Japanese, offline.

Translations are in ``locale/ja`` (gettext). ``make docs-translate`` brings them up to date with the
English pages; ``tools/check_translations.py`` refuses missing and stale paragraphs.
"""

import os
import sys
from importlib.metadata import version as installed

from docutils import nodes
from docutils.parsers.rst import Directive

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
    "extending": "拡張の手順",
    "reliability": "信頼性",
    "specification": "BNN-PYNQ の仕様",
    "split": "ネットワークの分割",
    "test-strength": "テストの検出力",
    "vocabulary": "用語の一覧",
}
ENGLISH = "（英語）"  # noqa: RUF001 (a Japanese bracket)
NOT_TRANSLATED = "このページはまだ日本語になっていません。英語のまま表示しています。"


class _NotRun(Directive):
    """The place of a command that is not run: the command without its output."""

    has_content, required_arguments, final_argument_whitespace = True, 1, True
    option_spec = {"cwd": str}  # noqa: RUF012 (docutils reads the class's own dictionary)

    def run(self):
        command = f"$ {self.arguments[0]}"
        return [nodes.literal_block(command, command, language="text")]


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


def setup(app):
    """Called by Sphinx."""
    app.add_search_language(SearchByPairs)
    app.connect("html-page-context", _say_if_english)
    app.connect("env-check-consistency", _name_english_pages)
    app.connect("doctree-resolved", _for_japanese)
    if not RUNS_COMMANDS:
        app.add_directive("command-output", _NotRun)
