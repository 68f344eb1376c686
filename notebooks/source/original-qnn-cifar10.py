# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 2: CIFAR-10 with one and two bits
#
# The original's notebook CNV-QNN_Cifar10: the same picture on three networks, W1A1, W1A2 and W2A2, that differ only in the bits of weights
# (W) and activations (A). More bits: more accurate, larger, slower.
# %% [ja]
# # BNN-PYNQ をもう一度 2：1 ビットと 2 ビットで CIFAR-10
#
# 元のノートブック CNV-QNN_Cifar10 では、同じ画像を W1A1、W1A2、W2A2 の三つのネットワークで分類しました。違うのは、重み（W）と活性値（A）のビット数だけです。
# ビット数を増やすと、正確になり、大きくなり、遅くなります。
# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import bnn
from bnn.hw import folding
from bnn.hw.design import build
from bnn.program.operations import Threshold

samples = Path(bnn.__file__).parent / "samples" / "cifar10"
photos = sorted(samples.glob("*.png"))
NAMES = ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2")
classifiers = {name: bnn.Classifier(name) for name in NAMES}
# %% [en]
# ## One picture, three networks
# %% [ja]
# ## 画像 1 枚、ネットワーク三つ
# %%
photo = samples / "Deer.png"
fig, axes = plt.subplots(1, 4, figsize=(14, 3.2), width_ratios=(1, 2, 2, 2))
axes[0].imshow(Image.open(photo))
axes[0].axis("off")
for axis, (name, clf) in zip(axes[1:], classifiers.items(), strict=True):
    axis.barh(clf.classes, 100 * clf.probabilities(photo)[0])
    axis.set(title=name, xlabel="probability, %", xlim=(0, 100))
    axis.invert_yaxis()
fig.tight_layout()
plt.show()
# %% [en]
# ## Ten pictures, three networks
#
# Green: right. Red: wrong, with the class that was found.
# %% [ja]
# ## 画像 10 枚、ネットワーク三つ
#
# 緑は正解、赤は間違いで、認識されたクラスを書いてあります。
# %%
fig, axes = plt.subplots(3, 10, figsize=(13, 5))
for row, (name, clf) in zip(axes, classifiers.items(), strict=True):
    for axis, path, found in zip(row, photos, clf.classify(photos), strict=True):
        right = clf.classes[found] == path.stem
        axis.imshow(Image.open(path))
        axis.set_title(clf.classes[found], color="tab:green" if right else "tab:red", fontsize=9)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)
plt.show()
# %% [en]
# ## What two bits change inside
#
# One map of the first convolution for the same picture. With one bit a value is -1 or +1, with two it is -1, 0 or +1.
# %% [ja]
# ## 2 ビットにすると中はどう変わるか
#
# 同じ画像に対する、最初の畳み込み層のマップを一つずつ描きます。1 ビットの値は -1 か +1、2 ビットの値は -1、0、+1 のどれかです。
# %%
fig, axes = plt.subplots(1, 3, figsize=(9, 3))
for axis, (name, clf) in zip(axes, classifiers.items(), strict=True):
    first = next(op for op in clf.model.program.ops if isinstance(op, Threshold))
    maps = clf.activations(photo)[first.name][0]
    liveliest = int(np.argmax(maps.reshape(-1, maps.shape[-1]).std(axis=0)))
    axis.imshow(maps[:, :, liveliest], cmap="gray", vmin=-1, vmax=1)
    values = ", ".join(str(value) for value in np.unique(maps))
    axis.set_title(f"{name}\nvalues {values}")
    axis.axis("off")
plt.show()
# %% [en]
# ## Hardware and software
#
# Pictures per second of the circuit, in the original's folding at 100 MHz, and of this machine's processor.
# %% [ja]
# ## ハードウェアとソフトウェア
#
# 元と同じフォールディングの回路を 100 MHz で動かしたときと、この PC のプロセッサで、1 秒間に処理できる画像の枚数を比べます。
# %%
rates = {}
for name, clf in classifiers.items():
    clf.classify(photos * 20)
    cycles = build(clf.model.program, folding.original(clf.model.program)).cycles
    rates[name] = (1e8 / cycles, 1e6 / clf.last_run.us_per_image)

fig, axis = plt.subplots(figsize=(8, 3))
at = np.arange(3)
axis.bar(at - 0.2, [hardware for hardware, _ in rates.values()], 0.4, label="circuit at 100 MHz")
axis.bar(at + 0.2, [software for _, software in rates.values()], 0.4, label="this machine's CPU")
axis.set(xticks=at, xticklabels=NAMES, ylabel="pictures per second")
axis.legend()
plt.show()
