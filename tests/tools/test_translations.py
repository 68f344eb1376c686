# SPDX-License-Identifier: BSD-3-Clause
"""tools/check_translations.py names each paragraph that a Japanese page lacks or has outdated."""

from __future__ import annotations

import pytest

from support.scripts_loaded import load

check = load("tools", "check_translations.py")
spelling = load("tools", "japanese_spelling.py")
P = check.Paragraph
ENGLISH = {"See `bnn plan` in [Planning](planning.md).": P(line=7)}
(TEXT,) = ENGLISH


def faults(translated: dict[str, object]) -> list[str]:
    return list(check.faults("faq", ENGLISH, translated))


def test_a_complete_translation_has_no_fault() -> None:
    assert faults({TEXT: P(translation="[計画](planning.md)の `bnn plan` をご覧ください。")}) == []


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (P(), "not translated"),
        (P(translation="`bnn plan`、[計画](planning.md)", fuzzy=True), "fuzzy"),
        (P(translation="`bnn build`、[計画](planning.md)"), "other code"),
        (P(translation="[計画](planning.md)"), "other code"),
        (P(translation="`bnn plan`、[計画](web.md)"), "other links"),
        (P(translation="`bnn plan`"), "other links"),
        (P(translation="1. [計画](planning.md)の `bnn plan`"), "would not show it"),
        (P(translation="- [計画](planning.md)の `bnn plan`"), "would not show it"),
    ],
)
def test_each_fault_names_page_line_and_paragraph(found: object, reason: str) -> None:
    (fault,) = faults({TEXT: found})
    assert fault.startswith("docs/faq.md:7: ")
    assert reason in fault
    assert TEXT in fault


def test_a_number_at_the_beginning_has_a_backslash() -> None:
    assert (
        list(check.faults("faq", {"1. Plan": P()}, {"1. Plan": P(translation="1\\. 計画")})) == []
    )


@pytest.mark.parametrize(
    "text", ["8 359", "105 %", "`js/check.js`, `js/tensors.js`", "bnn lfc-w1a1", "ort-int8"]
)
def test_code_and_numbers_need_no_translation(text: str) -> None:
    assert list(check.faults("web", {text: P(line=3)}, {})) == []


def test_a_paragraph_without_an_entry_is_not_translated() -> None:
    (fault,) = faults({})
    assert "not translated" in fault


def test_a_translation_of_a_paragraph_that_is_gone_is_stale() -> None:
    good = P(translation="[計画](planning.md)の `bnn plan` をご覧ください。")
    (fault,) = faults({TEXT: good, "An old paragraph.": P(translation="古い段落。")})
    assert "stale" in fault
    assert "An old paragraph." in fault


def test_each_declared_page_and_its_catalogue_are_there() -> None:
    for page in check.PAGES:
        assert (check.ROOT / "docs" / f"{page}.md").is_file()
        assert (check.LOCALE / "ja" / "LC_MESSAGES" / f"{page}.po").is_file()


def test_no_catalogue_is_of_a_page_that_is_not_declared() -> None:
    """Else its paragraphs would be checked by nobody."""
    found = {path.stem for path in (check.LOCALE / "ja" / "LC_MESSAGES").glob("*.po")}
    assert found - {"sphinx"} == set(check.PAGES)  # sphinx: words of the theme


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ドライバーが示します。", "ドライバー"),
        ("ブロックRAM を使います。", "ブロックRAM"),
        ("名前を示して拒否します。", "拒否"),
        ("2 台の機械で行います。", "機械"),
        ("乱数の種を変えます。", "乱数の種"),
        ("三つの種の平均です。", "三つの種"),
        ("画素に余白の重みが掛かる", "余白の重み"),
        ("学習の証明書ができます。", "証明書"),
        ("詳しくは [hardware.md](hardware.md) をご覧ください。", "[hardware.md]"),
    ],
)
def test_a_word_that_is_not_used_is_named_with_the_right_one(text: str, word: str) -> None:
    (fault,) = spelling.misspelt("x.po", text)
    assert fault.startswith(f"x.po: {word!r}: write ")


@pytest.mark.parametrize(
    "text",
    [
        "ドライバ、サーバ、エラー、カラー、コピー",
        "機械学習の 22 種類の一致証明",
        "1 ビットの記憶素子",
        "`拒否` と `[hardware.md]` はコードです。",
        "ユーザーズガイド",
    ],
)
def test_right_words_have_no_fault(text: str) -> None:
    assert list(spelling.misspelt("x.po", text)) == []
