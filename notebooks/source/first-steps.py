# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # First steps
#
# This notebook classifies pictures with networks of bits, draws their scores, and looks inside: the bits that pass
# from layer to layer, and the thresholds that made them. It needs the package and Matplotlib:
# `pip install '.[notebooks]'` in the package's folder. You need no board.
# %% [ja]
# # はじめの一歩
#
# 二値化ネットワークで画像を分類し、スコアをグラフにします。さらに、層から層へ渡されるビットと、そのビットを決めるしきい値も見てみます。
# 必要なものは、このパッケージと Matplotlib です（パッケージのフォルダで `pip install '.[notebooks]'`）。ボードはいりません。
# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import bnn
from bnn.program.operations import Threshold

samples = Path(bnn.__file__).parent / "samples"
# %% [en]
# ## Classify
#
# `lfc-w1a1` comes with the package. It reads digits of 28x28 black and white pixels; each weight and each activation has 1 bit.
# A classifier takes paths, pictures of PIL, or arrays, and returns one class for each.
# %% [ja]
# ## 分類する
#
# `lfc-w1a1` はパッケージに付属するネットワークです。28x28 画素の白黒の数字を認識します。重みも活性値も 1 ビットです。
# 分類器にはパス、PIL の画像、または配列を渡します。画像ごとにクラスが一つ返ります。
# %%
digits = [samples / "mnist" / f"{digit}.png" for digit in range(10)]
clf = bnn.Classifier("lfc-w1a1")
classes = clf.classify(digits)

fig, axes = plt.subplots(1, 10, figsize=(12, 1.8))
for axis, path, found in zip(axes, digits, classes, strict=True):
    axis.imshow(Image.open(path), cmap="gray")
    axis.set_title(clf.model.classes[found])
    axis.axis("off")
plt.show()
# %%
assert classes.tolist() == list(range(10))
# %% [en]
# ## Scores
#
# The last layer gives one integer per class, its *score*. The class is the position of the largest. Below, each row is a picture. A bright cell beside the diagonal shows what the network
# finds similar.
# %% [ja]
# ## スコア
#
# 最後の層は、クラスごとに整数を一つ出力します。これが*スコア*で、最大のものがクラスになります。
# 下の図では 1 行が画像 1 枚です。対角線以外の明るいマスは、ネットワークが似ていると判断した数字を表します。
# %%
scores = clf.scores(digits)

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
shown = left.imshow(scores, cmap="viridis")
left.set(xlabel="class", ylabel="picture", xticks=range(10), yticks=range(10), title="scores")
fig.colorbar(shown, ax=left)
right.bar(range(10), scores[4], color=["tab:blue"] * 4 + ["tab:orange"] + ["tab:blue"] * 5)
right.set(xlabel="class", ylabel="score", xticks=range(10), title="scores of picture 4")
plt.show()
# %% [en]
# ## Photos
#
# `cnv-w1a1` knows ten classes of CIFAR-10, in colour. Any size is scaled to 32x32. Here are its own ten samples; the title is
# the class that was found. Two of the ten are wrong: no network of this size is right every time.
# %% [ja]
# ## 写真
#
# `cnv-w1a1` は CIFAR-10 の 10 クラスをカラー画像から認識します。どんな大きさの画像も 32x32 に縮小されます。
# 付属する 10 枚の画像で試します。見出しは、認識されたクラスです。10 枚のうち 2 枚は間違えています。この大きさのネットワークでは、すべては当たりません。
# %%
photos = sorted((samples / "cifar10").glob("*.png"))
cnv = bnn.Classifier("cnv-w1a1")
found = cnv.classify(photos)

fig, axes = plt.subplots(1, 10, figsize=(12, 1.8))
for axis, path, index in zip(axes, photos, found, strict=True):
    axis.imshow(Image.open(path))
    axis.set_title(cnv.model.classes[index], fontsize=9)
    axis.axis("off")
plt.show()
print(f"{cnv.last_run.us_per_image:.0f} us per picture on this machine")
# %% [en]
# ## Look inside: activations
#
# `clf.activations(pictures)` returns every value that passes between two operations. After a threshold they are -1 and +1:
# the 64 maps of CNV's second convolution, for one photo. White is +1.
# %% [ja]
# ## 中を見る：活性値
#
# `clf.activations(pictures)` は、演算の間を流れる値をすべて返します。しきい値の後の値は -1 と +1 だけです。
# 1 枚の写真について、CNV の 2 番目の畳み込み層が出力する 64 枚のマップを描きます。白が +1 です。
# %%
frog = [path for path in photos if path.stem == "Frog"]
edges = cnv.activations(frog)
thresholds = [op for op in cnv.model.program.ops if isinstance(op, Threshold)]
maps = edges[thresholds[1].name][0]
print("operation", thresholds[1].name, "shape", maps.shape, "values", np.unique(maps))

fig, axes = plt.subplots(4, 16, figsize=(12, 3.2))
for channel, axis in enumerate(axes.flat):
    axis.imshow(maps[:, :, channel], cmap="gray", vmin=-1, vmax=1)
    axis.axis("off")
plt.show()
# %%
assert set(np.unique(maps)) == {-1, 1}
# %% [en]
# ## Look inside: a threshold
#
# Before the threshold, each neuron has an integer sum. A neuron of LFC's first layer gives +1 exactly where the sum reaches its threshold (or, if its
# sign is -1, where the negated sum does). We compute that with NumPy and compare with the network: they are equal, not
# close.
# %% [ja]
# ## 中を見る：しきい値
#
# しきい値の前では、どのニューロンも整数の和を持っています。和がしきい値に達していれば +1、そうでなければ -1 を出力します
# （符号が -1 のニューロンでは、和の正負を反転してから比べます）。LFC の第 1 層についてこれを NumPy で計算し、ネットワークの値と比べます。
# 近いのではなく、完全に一致します。
# %%
threshold = next(op for op in clf.model.program.ops if isinstance(op, Threshold))
edges = clf.activations(digits)
sums, bits = (edges[name].reshape(10, -1) for name in (threshold.source, threshold.name))
signs = 1 if threshold.signs is None else threshold.signs
ours = np.where(signs * sums >= threshold.thresholds[:, 0], 1, -1)
assert np.array_equal(ours, bits)

fig, (left, right) = plt.subplots(1, 2, figsize=(12, 3.5))
left.hist(sums.ravel(), bins=60)
left.set(xlabel="sum", ylabel="neurons x pictures", title="sums of the first layer")
right.hist(threshold.thresholds[:, 0], bins=60, color="tab:orange")
right.set(xlabel="threshold", ylabel="neurons", title="its 1024 thresholds")
plt.show()
# %%
neuron = int(np.argmin(np.abs(np.mean(bits, axis=0))))
sign = 1 if threshold.signs is None else int(threshold.signs[neuron])
limit = int(threshold.thresholds[neuron, 0])
colours = ["tab:blue" if bit > 0 else "tab:orange" for bit in bits[:, neuron]]
fig, axis = plt.subplots(figsize=(12, 3))
axis.bar(range(10), sign * sums[:, neuron], color=colours)
axis.axhline(limit, color="black", linestyle="--", label=f"threshold {limit}")
axis.set(xlabel="picture", ylabel="sum", xticks=range(10), title=f"neuron {neuron}: blue is +1")
axis.legend()
plt.show()
# %% [en]
# ## Two bits
#
# `lfc-w1a2` has activations of 2 bits: each neuron has two thresholds, and gives -1, 0 or +1.
# %% [ja]
# ## 2 ビット
#
# `lfc-w1a2` の活性値は 2 ビットです。ニューロンごとにしきい値が二つあり、出力は -1、0、+1 のどれかになります。
# %%
two = bnn.Classifier("lfc-w1a2")
first = next(op for op in two.model.program.ops if isinstance(op, Threshold))
values = two.activations(digits)[first.name].ravel()
levels, counts = np.unique(values, return_counts=True)
print("thresholds per neuron:", first.thresholds.shape[1], "values:", levels)

fig, axis = plt.subplots(figsize=(6, 3))
axis.bar([str(level) for level in levels], counts)
axis.set(xlabel="activation", ylabel="neurons x pictures")
plt.show()
# %%
assert levels.tolist() == [-1, 0, 1]
# %% [en]
# ## Go on
#
# [Hardware and software side by side](hardware-and-software.ipynb), [design for a chip](design-for-a-chip.ipynb), and the
# page of `bnn web`, where all this moves.
# %% [ja]
# ## 次に読むもの
#
# [ハードウェアとソフトウェアを並べて比べる](hardware-and-software.ipynb)、[チップに合わせて設計する](design-for-a-chip.ipynb)。
# `bnn web` のページでは、ここで見たものを動かして見られます。
