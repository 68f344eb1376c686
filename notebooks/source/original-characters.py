# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 7: characters
#
# The original's notebook LFC-BNN_Chars_Webcam: letters and digits in black on white. The original's parameter set `chars_merged-lfcW1A1` (trained on NIST) does not come with the package, so a network is trained here, on
# the letters A to Z in fonts that come with Matplotlib. This needs `pip install '.[train]'` (PyTorch) and about a minute.
# %% [ja]
# # BNN-PYNQ をもう一度 7：文字
#
# 元のノートブック LFC-BNN_Chars_Webcam では、白い背景に黒い文字と数字を認識しました。BNN-PYNQ のパラメータセット `chars_merged-lfcW1A1`（NIST で学習したもの）は付属していないので、
# ここで学習します。使うのは、Matplotlib に付属するフォントで描いた A から Z の文字です。`pip install '.[train]'`（PyTorch）と 1 分ほどの時間が必要です。
# %%
import random
import string
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

import bnn
from bnn.model.batch import as_batch

work = Path(tempfile.mkdtemp())
luck = random.Random(1)
FACES = ("DejaVu Sans", "DejaVu Sans:bold", "DejaVu Serif", "DejaVu Sans Mono", "STIXGeneral")
FONTS = [font_manager.findfont(face) for face in FACES]  # they come with Matplotlib
LETTERS = string.ascii_uppercase
# %% [en]
# ## Letters
#
# White on black, as MNIST's digits are: each in a random font, size, turn and slant.
# %% [ja]
# ## 文字の画像
#
# MNIST の数字と同じく、黒い背景に白です。フォント、大きさ、回転、傾きは 1 枚ごとにランダムです。
# %%


def letter(text):
    """A letter, uint8 (28, 28) as a picture: about 20 pixels high, in the middle."""
    picture = Image.new("L", (112, 112))
    font = ImageFont.truetype(luck.choice(FONTS), luck.randint(88, 108))
    ImageDraw.Draw(picture).text((56, 56), text, 255, font, anchor="mm")
    slant = luck.uniform(-0.2, 0.2)
    picture = picture.transform(
        (112, 112),
        Image.Transform.AFFINE,
        (1, slant, -56 * slant, 0, 1, 0),
        Image.Resampling.BILINEAR,
    )
    picture = picture.rotate(luck.uniform(-8, 8), Image.Resampling.BILINEAR)
    left, top, right, bottom = picture.getbbox()
    side = max(right - left, bottom - top)
    cut = picture.crop((left, top, right, bottom))
    square = Image.new("L", (side * 28 // 20, side * 28 // 20))
    square.paste(cut, ((square.width - cut.width) // 2, (square.height - cut.height) // 2))
    return square.resize((28, 28), Image.Resampling.BILINEAR)


for text in LETTERS:
    (work / "letters" / text).mkdir(parents=True)
    for number in range(100):
        letter(text).save(work / "letters" / text / f"{number}.png")

fig, axes = plt.subplots(2, 13, figsize=(12, 2.2))
for text, axis in zip(LETTERS, axes.flat, strict=True):
    axis.imshow(letter(text), cmap="gray")
    axis.axis("off")
plt.show()
# %% [en]
# ## Train
#
# A network like LFC, but smaller: two hidden layers of 256 instead of three of 1024. One bit for everything.
# %% [ja]
# ## 学習する
#
# LFC に似た、より小さなネットワークです。1024 ニューロンの層三つの代わりに、256 ニューロンの層を二つ使います。すべて 1 ビットです。
# %%
(work / "letters.toml").write_text("""
name = "letters"
input = [28, 28, 1]
encoding = "sign"
weights = "bipolar"
activations = "bipolar"
layers = [
  { dense = 256 }, "norm", "act",
  { dense = 256 }, "norm", "act",
  { dense = 26 }, { norm = "scalar" },
]
""")
command = [Path(sys.executable).with_name("bnn"), "train", work / "letters.toml"]
command += ["--data", work / "letters", "--epochs", "20", "-o", work / "run"]
done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
print(done.stdout[-1500:], done.stderr[-1500:])
# %%
assert done.returncode == 0
# %% [en]
# ## Read
#
# A word that was not trained on, letter by letter.
# %% [ja]
# ## 読む
#
# 学習に使っていない文字の列を、1 文字ずつ読みます。
# %%
clf = bnn.Classifier(work / "run" / "model.bnn")
text = "BINARIZEDNETWORK"
pictures = [letter(each) for each in text]
read = "".join(clf.classes[found] for found in clf.classify(pictures))

fig, axes = plt.subplots(1, len(text), figsize=(13, 1.4))
for axis, picture, found in zip(axes, pictures, read, strict=True):
    axis.imshow(as_batch(clf.model, [picture])[0].reshape(28, 28), cmap="gray")
    axis.set_title(found)
    axis.axis("off")
plt.show()
# %% [en]
# ## All letters
#
# Rows are what was written, columns what was read.
# %% [ja]
# ## すべての文字
#
# 行が書いた文字、列が読み取られた文字です。
# %%
table = np.zeros((26, 26), int)
for row, each in enumerate(LETTERS):
    for found in clf.classify([letter(each) for _ in range(20)]):
        table[row, LETTERS.index(clf.classes[found])] += 1

fig, axis = plt.subplots(figsize=(6, 6))
axis.imshow(table, cmap="Blues")
axis.set(xticks=range(26), yticks=range(26), xlabel="read", ylabel="written")
axis.set_xticklabels(LETTERS)
axis.set_yticklabels(LETTERS)
plt.show()
print(f"{np.trace(table) / table.sum():.1%} right")
# %%
assert np.trace(table) / table.sum() > 0.6
