# SPDX-License-Identifier: BSD-3-Clause
"""Every ``bnn`` command that a page shows exists, with all its options; those that can, run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bnn.commands.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "src" / "bnn").rglob("*.md"))
#: Of a shell block whose commands are run: they write nothing, fetch nothing, and take seconds.
RUN = {"models", "info", "classify", "plan"}

#: Of ``bnn COMMAND --help``, and of a message.
NO_COMMANDS = {("COMMAND",), ("needs",)}

#: Of files that a command reads.
ENDINGS = (".png", ".bnn", ".jpg", ".toml")

_BLOCK = re.compile(r"^```(?:sh|bash|console|shell)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SHOWN = re.compile(r"^```\{command-output\} (bnn .*)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(bnn [^`]+)`")
_END = {"|", "||", "&&", ";", ">", ">>", "2>", "&"}


@dataclass(frozen=True)
class Shown:
    """A command line of a page; ``whole``: as it would be typed, not only named in a sentence."""

    where: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.where}: {' '.join(self.words)}"


def command_lines() -> list[Shown]:
    return [shown for page in PAGES for shown in _of_page(page)]


def _of_page(page: Path) -> Iterator[Shown]:
    text, name = page.read_text(), str(page.relative_to(ROOT))
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for words in _commands(line.removeprefix("$ ")):
                yield Shown(name, words, whole=True)
    for line in _SHOWN.findall(text):
        yield Shown(name, tuple(shlex.split(line)[1:]), whole=True)
    for line in _INLINE.findall(_FENCE.sub("", text)):
        for words in _commands(line.replace("\n", " ")):
            yield Shown(name, words, whole=False)


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    """The words after each ``bnn`` of a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.commenters, lexer.whitespace_split = "#", True
    words = list(lexer)
    while words:
        end = next((at for at, word in enumerate(words) if word in _END), len(words))
        part, words = words[:end], words[end + 1 :]
        while part and re.fullmatch(r"[A-Z_]+=.*", part[0]):
            part.pop(0)
        if part and part[0].split("/")[-1] == "bnn":
            yield tuple(word.strip("[]") for word in part[1:])


LINES = [shown for shown in command_lines() if shown.words[:1] not in NO_COMMANDS]


@pytest.fixture(scope="module")
def refusal() -> Callable[[Shown], str]:
    """What the command line says against a command; nothing if it would run it."""
    group = typer.main.get_command(app)
    for command in group.commands.values():  # type: ignore[attr-defined]
        command.callback = lambda **_: None

    def refused(shown: Shown) -> str:
        try:
            group.main(list(shown.words), prog_name="bnn", standalone_mode=False)
        except Exception as error:  # of typer or of click, as the version of typer has it
            kind = type(error).__name__
            named = any(re.fullmatch("[A-Z][A-Za-z]+", word) for word in shown.words)  # --clock MHz
            fine = {"MissingParameter", "NoArgsIsHelpError"} | (
                {"BadParameter"} if named else set()
            )
            return "" if kind in fine and not shown.whole else f"{kind}: {error}"
        return ""

    return refused


def test_there_are_many() -> None:
    assert len([shown for shown in LINES if shown.whole]) > 60
    assert len([shown for shown in LINES if not shown.whole]) > 60


@pytest.mark.parametrize("shown", LINES, ids=str)
def test_the_command_exists_with_its_options(shown: Shown, refusal: Callable[[Shown], str]) -> None:
    assert not refusal(shown)


def test_a_command_that_does_not_exist_is_found(refusal: Callable[[Shown], str]) -> None:
    for words in (("info", "lfc-w1a1", "--no-such"), ("nosuch",), ("plan", "a", "--fps", "many")):
        assert refusal(Shown("x.md", words, whole=False)), words
    assert refusal(Shown("x.md", ("plan",), whole=True))


def can_run(shown: Shown) -> bool:
    """Whether all that it reads is here, and it neither compiles a simulator nor writes."""
    files = [word for word in shown.words if "/" in word or word.endswith(ENDINGS)]
    there = all("*" in word or (ROOT / word).exists() for word in files)
    wrote = {"-o", "--output", "--runtime", "-r", "--cache", "--board-file"} & set(shown.words)
    model = any(word.startswith(("lfc-", "cnv-")) for word in shown.words)
    return shown.whole and shown.words[0] in RUN and there and not wrote and (model or files == [])


RUNNABLE = sorted({shown.words for shown in LINES if shown.words and can_run(shown)})


@pytest.mark.parametrize("words", RUNNABLE, ids=" ".join)
def test_the_command_runs(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # As in the tree's own folder, but what a command writes (a picture of plans) is not left there.
    for each in ROOT.iterdir():
        (tmp_path / each.name).symlink_to(each)
    monkeypatch.chdir(tmp_path)
    arguments = []
    for word in words:
        arguments += [str(path) for path in sorted(ROOT.glob(word))] if "*" in word else [word]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.output


def _names() -> list[str]:
    return sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_every_command_is_on_the_page_of_commands() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^## bnn (\S+)$", page, re.MULTILINE)) == _names()
    assert sorted(re.findall(r"command-output} bnn (\S+) --help$", page, re.MULTILINE)) == _names()


@pytest.mark.parametrize("name", _names())
def test_help_shows_every_bracket_of_its_text(name: str) -> None:
    """Typer reads [text] as markup and removes it, unless it is escaped."""
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    texts = [command.help, *(getattr(one, "help", None) for one in command.params)]
    brackets = {found for text in texts if text for found in re.findall(r"\[[^\]]*\]", text)}
    for found in brackets - {"[bold]", "[/bold]"}:
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        assert found in shown, found
