# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 5: house numbers
#
# The original's notebook CNV-BNN_SVHN: digits of house numbers in colour, as in the data set SVHN. Neither this data set nor the original's parameter set `streetview-cnvW1A1` comes with the package. Where `BNN_PARAMS` has the
# set, it is used. Else a small convolutional network is trained here on house numbers that are drawn, which needs `pip install '.[train]'` (PyTorch) and about two minutes.
# %% [ja]
# # BNN-PYNQ をもう一度 5：番地の数字
#
# 元のノートブック CNV-BNN_SVHN では、データセット SVHN のような、カラー写真の番地の数字を認識しました。このデータセットも、BNN-PYNQ のパラメータセット
# `streetview-cnvW1A1` も、パッケージには付属していません。`BNN_PARAMS` にパラメータセットがあればそれを使います。なければ、ここで描いた番地の画像で小さな畳み込みネットワークを
# 学習します。これには `pip install '.[train]'`（PyTorch）と 2 分ほどの時間が必要です。
# %%
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import bnn
from bnn.errors import UnknownNameError
from bnn.plan import plan

work = Path(tempfile.mkdtemp())
luck = random.Random(1)
FACES = ("DejaVu Sans", "DejaVu Sans:bold", "DejaVu Serif", "DejaVu Serif:bold", "DejaVu Sans Mono")
FONTS = [font_manager.findfont(face) for face in FACES]  # they come with Matplotlib
# %% [en]
# ## House numbers
#
# A digit in one colour on a plate of another, with parts of its neighbours at both sides, as in SVHN.
# %% [ja]
# ## 番地の画像
#
# SVHN のように、色の付いた板に別の色で数字を描き、両側に隣の数字の一部が見えるようにします。
# %%


def house_number(digit):
    """A picture of 32x32: the digit in the middle, its neighbours cut off."""
    paint, plate = random_colours()
    picture = Image.new("RGB", (64, 64), plate)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.truetype(luck.choice(FONTS), luck.randint(44, 58))
    for place, text in ((-1, luck.randrange(10)), (0, digit), (1, luck.randrange(10))):
        middle = (32 + place * luck.randint(34, 42) + luck.randint(-3, 3), 32 + luck.randint(-3, 3))
        pen.text(middle, str(text), paint, font, anchor="mm")
    picture = picture.rotate(luck.uniform(-8, 8), Image.Resampling.BILINEAR, fillcolor=plate)
    return picture.filter(ImageFilter.GaussianBlur(luck.uniform(0, 1.5))).resize((32, 32))


def random_colours():
    """Two colours that differ clearly in brightness."""
    dark = tuple(luck.randint(0, 110) for _ in range(3))
    light = tuple(luck.randint(150, 255) for _ in range(3))
    return luck.sample((dark, light), 2)


fig, axes = plt.subplots(2, 10, figsize=(12, 2.6))
for number, axis in enumerate(axes.flat):
    axis.imshow(house_number(number % 10))
    axis.axis("off")
plt.show()
# %% [en]
# ## The network
#
# The original's set, or a small one of the same kind: two binary convolutions after a first layer that sees bytes.
# %% [ja]
# ## ネットワーク
#
# BNN-PYNQ のパラメータセット、または同じ種類の小さなネットワークを使います。バイトを入力とする最初の層の後に、二値の畳み込み層が続きます。
# %%
TOPOLOGY = """
name = "house-numbers"
input = [32, 32, 3]
encoding = "fixed-point"
weights = "bipolar"
activations = "bipolar"
layers = [
  { conv = 16 }, "norm", "act", { pool = 2 },
  { conv = 32 }, "norm", "act", { pool = 2 },
  { dense = 64 }, "norm", "act",
  { dense = 10 }, { norm = "scalar" },
]
"""
try:
    clf = bnn.Classifier("streetview-cnvW1A1")
except UnknownNameError as reason:
    print(reason)
    for digit in range(10):
        (work / "numbers" / str(digit)).mkdir(parents=True)
        for number in range(300):
            house_number(digit).save(work / "numbers" / str(digit) / f"{number}.png")
    (work / "house-numbers.toml").write_text(TOPOLOGY)
    command = [Path(sys.executable).with_name("bnn"), "train", work / "house-numbers.toml"]
    command += [
        "--data",
        work / "numbers",
        "--epochs",
        "12",
        "--augment",
        "none",
        "-o",
        work / "run",
    ]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    print(done.stdout[-1500:], done.stderr[-1500:])
    assert done.returncode == 0
    clf = bnn.Classifier(work / "run" / "model.bnn")
# %% [en]
# ## New house numbers
#
# Pictures that were not trained on. Rows are what was drawn, columns what was found.
# %% [ja]
# ## 新しい番地
#
# 学習に使っていない画像で試します。行が描いた数字、列が認識された数字です。
# %%
tried = [(digit, house_number(digit)) for digit in range(10) for _ in range(40)]
found = clf.classify([picture for _, picture in tried])
table = np.zeros((10, len(clf.classes)), int)
for (digit, _), place in zip(tried, found, strict=True):
    table[digit, place] += 1

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
left.imshow(table, cmap="Blues")
left.set(xlabel="found", ylabel="drawn", yticks=range(10), xticks=range(len(clf.classes)))
left.set_xticklabels(clf.classes)
for row in range(10):
    left.text(row, row, table[row, row], ha="center", va="center", color="tab:red")
picture = house_number(7)
right.bar(clf.classes, clf.logits([picture])[0])
right.set(xlabel="class", ylabel="logit", title="one picture of a 7")
plt.show()
share = np.trace(table) / len(tried)
print(f"{share:.1%} of {len(tried)} right")
# %% [en]
# ## What the circuit would take
# %% [ja]
# ## 回路にするとどれくらいか
# %%
plans = [plan(clf.model, fps=fps, on="xc7z020") for fps in (1_000, 10_000, 50_000)]
fig, axis = plt.subplots(figsize=(6, 3))
axis.plot([each.cost.lut for each in plans], [each.fps for each in plans], "o-")
axis.axvline(53_200, color="grey", linestyle="--", label="LUTs of the XC7Z020")
axis.set(xlabel="LUT", ylabel="pictures per second", yscale="log")
axis.legend()
plt.show()
