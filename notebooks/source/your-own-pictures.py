# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # Train on your own pictures
#
# One folder per class, any sizes of pictures. Here we draw them: circles, squares and triangles. With photos in colour you would
# start from `cnv-w1a1` in the same way. Training needs `pip install '.[train]'` (PyTorch).
# %% [ja]
# # 自分の画像で学習する
#
# クラスごとにフォルダを一つ用意します。画像の大きさは自由です。ここでは円、四角形、三角形の画像を描いて使います。カラー写真なら、
# 同じ方法で `cnv-w1a1` から始めます。学習には `pip install '.[train]'`（PyTorch）が必要です。
# %%
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw

import bnn

work = Path(tempfile.mkdtemp())
luck = random.Random(1)
CLASSES = ("circle", "square", "triangle")


def drawn(kind):
    """One shape in white on black, of random size, place and turn."""
    picture = Image.new("L", (56, 56))
    pen = ImageDraw.Draw(picture)
    radius = luck.randint(12, 22)
    x, y = (luck.randint(radius + 2, 54 - radius) for _ in range(2))
    sides = {"circle": 60, "square": 4, "triangle": 3}[kind]
    turned = luck.randint(-15, 15) + (45 if kind == "square" else 0)
    pen.regular_polygon((x, y, radius), sides, rotation=turned, fill=255)
    return picture


for kind in CLASSES:
    (work / "shapes" / kind).mkdir(parents=True)
    for number in range(500):
        drawn(kind).save(work / "shapes" / kind / f"{number}.png")

fig, axes = plt.subplots(1, 9, figsize=(12, 1.6))
for number, axis in enumerate(axes):
    axis.imshow(Image.open(work / "shapes" / CLASSES[number % 3] / f"{number}.png"), cmap="gray")
    axis.axis("off")
plt.show()
# %% [en]
# ## The network
#
# A text file says its layers: two dense layers of 256 neurons, all weights and activations of 1 bit.
# %% [ja]
# ## ネットワーク
#
# 層の構成はテキストファイルに書きます。256 ニューロンの全結合層が二つで、重みも活性値もすべて 1 ビットです。
# %%
(work / "shapes.toml").write_text("""
name = "shapes"
input = [28, 28, 1]
encoding = "sign"
weights = "bipolar"
activations = "bipolar"
layers = [
  { dense = 256 }, "norm", "act",
  { dense = 256 }, "norm", "act",
  { dense = 3 }, { norm = "scalar" },
]
""")
# %% [en]
# ## Train
#
# `bnn train` says what the folder holds, trains, and writes `model.bnn` and a certificate. Twenty epochs take
# seconds here.
# %% [ja]
# ## 学習する
#
# `bnn train` はフォルダの中身を表示し、学習して、`model.bnn` と一致証明（certificate）を書き出します。この例の 20 エポックは数秒で終わります。
# %%
bnn_command = Path(sys.executable).with_name("bnn")
command = [bnn_command, "train", work / "shapes.toml", "--data", work / "shapes"]
command += ["--epochs", "20", "-o", work / "run"]
done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
print(done.stdout[-3000:], done.stderr[-1500:])
# %%
assert done.returncode == 0
# %% [en]
# ## Use it
#
# New pictures, which were not trained on. Rows are what was drawn, columns what was found.
# %% [ja]
# ## 使う
#
# 学習に使っていない新しい画像で試します。行が描いた図形、列が認識された図形です。
# %%
clf = bnn.Classifier(work / "run" / "model.bnn")
table = np.zeros((3, 3), int)
for row, kind in enumerate(CLASSES):
    for found in clf.classify([drawn(kind) for _ in range(100)]):
        table[row, CLASSES.index(clf.model.classes[found])] += 1

fig, axis = plt.subplots(figsize=(4, 4))
axis.imshow(table, cmap="Blues")
for row in range(3):
    for column in range(3):
        axis.text(column, row, table[row, column], ha="center", va="center", color="tab:red")
axis.set(xticks=range(3), yticks=range(3), xticklabels=CLASSES, yticklabels=CLASSES)
plt.show()
# %%
assert np.trace(table) > 200
