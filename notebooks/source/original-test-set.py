# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 3: the whole test set
#
# The original's notebook CNV-QNN_Cifar10_Testset: all 10,000 test pictures of CIFAR-10 on W1A1, W1A2 and W2A2. The data set is looked for under `BNN_DATA`; where it is not,
# it is fetched once (`pip install '.[data]'`).
# %% [ja]
# # BNN-PYNQ をもう一度 3：テストセット全体
#
# 元のノートブック CNV-QNN_Cifar10_Testset では、CIFAR-10 のテスト画像 10,000 枚すべてを W1A1、W1A2、W2A2 で分類しました。データセットは `BNN_DATA` から探し、
# なければ一度だけ取得します（`pip install '.[data]'`）。
# %%
import matplotlib.pyplot as plt
import numpy as np

import bnn
from bnn.data.sets import load_test

data = load_test("cifar10")
NAMES = ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2")
print(len(data), "pictures of", data.images.shape[1:])
# %% [en]
# ## Accuracy
#
# The grey bars are what the original's board reached, in its own notebook.
# %% [ja]
# ## 正解率
#
# 灰色の棒は、元のノートブックに記録されている、ボードでの正解率です。
# %%
BOARD = {"cnv-w1a1": 79.22, "cnv-w1a2": 82.66, "cnv-w2a2": 84.29}
scores, right, speed = {}, {}, {}
for name in NAMES:
    clf = bnn.Classifier(name)
    scores[name], classes = clf.run(data.images)
    right[name] = 100 * np.mean(classes == data.labels)
    speed[name] = 1e6 / clf.last_run.us_per_image
    print(f"{name}: {right[name]:.2f} %, {speed[name]:,.0f} pictures per second")

fig, axis = plt.subplots(figsize=(7, 3))
at = np.arange(3)
for shift, values, label, colour in (
    (-0.2, [BOARD[name] for name in NAMES], "the original's board", "lightgrey"),
    (0.2, [right[name] for name in NAMES], "bundled models", "tab:blue"),
):
    bars = axis.bar(at + shift, values, 0.4, label=label, color=colour)
    axis.bar_label(bars, fmt="%.1f")
axis.set(xticks=at, xticklabels=NAMES, ylabel="accuracy, %", ylim=(50, 100))
axis.legend()
plt.show()
# %%
assert right["cnv-w1a1"] > 80
# %% [en]
# ## What is mistaken for what
#
# Rows are the true classes, columns what was found, for W1A1. Cats and dogs are the hardest.
# %% [ja]
# ## 何を何と間違えるか
#
# W1A1 の結果です。行が正しいクラス、列が認識されたクラスです。ネコとイヌが最も難しいことが分かります。
# %%
clf = bnn.Classifier("cnv-w1a1")
found = scores["cnv-w1a1"].argmax(axis=1)
table = np.zeros((10, 10), int)
np.add.at(table, (data.labels, found), 1)

fig, axis = plt.subplots(figsize=(6, 6))
axis.imshow(np.log1p(table), cmap="Blues")
for row in range(10):
    for column in range(10):
        axis.text(column, row, table[row, column], ha="center", va="center", fontsize=8)
axis.set(xticks=range(10), yticks=range(10), yticklabels=data.classes, xlabel="found", ylabel="is")
axis.set_xticklabels(clf.classes, rotation=90)
plt.show()
# %% [en]
# ## Wrong and sure
#
# The mistakes that W1A1 was surest of.
# %% [ja]
# ## 確率の高い間違い
#
# W1A1 の間違いのうち、確率が最も高かったものです。
# %%
probabilities = clf.probabilities(data.images[:2000])
wrong = np.flatnonzero(found[:2000] != data.labels[:2000])
surest = wrong[np.argsort(-probabilities[wrong].max(axis=1))[:10]]

fig, axes = plt.subplots(1, 10, figsize=(14, 2.2))
for axis, place in zip(axes, surest, strict=True):
    axis.imshow(data.images[place])
    axis.set_title(
        f"{clf.classes[found[place]]}\n{probabilities[place].max():.0%}\nis {data.classes[data.labels[place]]}",
        fontsize=8,
    )
    axis.axis("off")
plt.show()
# %% [en]
# ## How far can the percentages be believed?
#
# Pictures in groups by the probability of their class: how many of each group are right. A perfect calibration lies on the diagonal.
# %% [ja]
# ## 確率はどれだけ信用できるか
#
# 認識されたクラスの確率で画像をグループに分け、各グループの正解率を描きます。完全に信用できる確率なら、点は対角線に並びます。
# %%
sure = probabilities.max(axis=1)
correct = found[:2000] == data.labels[:2000]
edges = np.linspace(0.3, 1, 8)
groups = np.digitize(sure, edges)
points = [
    (sure[groups == group].mean(), correct[groups == group].mean())
    for group in range(len(edges) + 1)
    if np.sum(groups == group) > 20
]

fig, axis = plt.subplots(figsize=(4, 4))
axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
axis.plot(*zip(*points, strict=True), "o-")
axis.set(xlabel="probability", ylabel="share that is right", xlim=(0.2, 1), ylim=(0.2, 1))
plt.show()
