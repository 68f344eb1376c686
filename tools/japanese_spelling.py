# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: RUF001 (the width of Japanese brackets is meant)
"""Spellings and words that no Japanese page has; ``check_translations.py`` looks for them.

One rule for each word, so that two pages do not spell it in two ways, and no word that was
translated from English by itself and means another thing to an engineer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: A word in katakana of three sounds or more has no long mark at its end where the English one ends
#: with -er, -or or -ar, as in books on FPGAs. (エラー, カラー and キー keep it.)
_SHORT = (
    "アキュムレータ|アクセラレータ|アダプタ|インバータ|エクスポータ|エディタ|エミュレータ|エンコーダ|オプティマイザ|"
    "カウンタ|クラスタ|コンストラクタ|コンテナ|コンパイラ|コンピュータ|サーバ|シミュレータ|ジャンパ|スカラ|スキャナ|"
    "スケジューラ|スライダ|センサ|タイマ|デコーダ|ドライバ|パーサ|パラメータ|バッファ|フィルタ|フォルダ|ブラウザ|"
    "プランナ|プロセッサ|ヘッダ|ポインタ|マスタ|メーカ|メモリ|メンバ|モニタ|ユーザ|ラベラ|リーダ|レジスタ|レイヤ"
)
#: What no Japanese text may have -> what to write.
FORBIDDEN = {
    f"(?:{_SHORT})ー(?![ァ-ヴ])": "the same word without the long mark at its end",
    "ブロックRAM": "ブロック RAM, with a space",
    "インタフェース|インターフェイス": "インターフェース",
    "シミュレイション|シュミレ": "シミュレーション",
    "閾値|スレッショルド": "しきい値",
    "2値化|２値化": "二値化",
    "拒否": "エラーになる, 受け付けない, or of unlikely answers 棄却",
    "余白(?:用|の(?:行|列|重み))": "パディング",
    "記憶(?!素子)": "保存, 保持, or メモリ",
    "機械(?!学習|語)": "PC, マシン, or ボード",
    "代用品": "モック",
    "価格": "コスト, or ペナルティ",
    "部屋|くびれ": "階層（room）, 中核（waist）",
    "(?<!一致)証明書": "一致証明（certificate）",
    "乱数の種|(?:一つ|三つ|同じ)の?種(?!類)": "乱数シード",
    "(?:埋め込んだ|仕込んだ|意図的な|人為的な)(?:誤り|バグ)|ミュータント|変異": "故意に入れたバグ",
    "[白黒]地|(?:暗い|明るい|一様な)地(?!図|域)|(?:^|[、。])地(?=[がをはに])": "背景",
    "スキャン(?=の?(?:ループ|本体|演算|プログラム))": "scan",
    "シーケンス|リカレント": "系列（sequence）, 再帰型（recurrent）",
    "コア一つ": "1 コア",
    "白黒画像": "二値画像, or グレースケール画像",
    r"\[[a-z-]+\.md\]": "the title of the page as the text of its link",
    "[０-９Ａ-Ｚａ-ｚ]": "digits and letters of ASCII",
}

_CODE = re.compile(r"`+[^`]+`+")
#: Characters of the text that a message shows before the word, and after it.
_BEFORE, _AFTER = 20, 20


def misspelt(where: str, text: str) -> Iterator[str]:
    """One line for each of :data:`FORBIDDEN` in a Japanese ``text``; its code is left out."""
    plain = _CODE.sub("", text)
    for pattern, right in FORBIDDEN.items():
        for found in re.finditer(pattern, plain):
            near = plain[max(0, found.start() - _BEFORE) : found.end() + _AFTER]
            yield f"{where}: {found[0]!r}: write {right}: {near}"
