# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 1: CIFAR-10 with one bit
#
# The original's notebook CNV-BNN_Cifar10: a picture of a deer is classified by CNV with weights and activations of 1 bit, on the FPGA and on
# the processor. Here it runs on a PC, with plots instead of printed lists. Nothing but `pip install '.[notebooks]'` is needed.
# %% [ja]
# # BNN-PYNQ をもう一度 1：1 ビットで CIFAR-10
#
# 元の BNN-PYNQ のノートブック CNV-BNN_Cifar10 では、シカの画像を、重みも活性値も 1 ビットの CNV で、FPGA とプロセッサの両方で分類しました。ここでは
# PC の上で同じことをし、数値の羅列の代わりにグラフで示します。必要なのは `pip install '.[notebooks]'` だけです。
# %%
import contextlib
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import bnn
from bnn.hw import folding
from bnn.hw.design import build

samples = Path(bnn.__file__).parent / "samples" / "cifar10"
photo = samples / "Deer.png"
# %% [en]
# ## The original's lines
#
# `available_params` and `CnvClassifier` are the original's own interface. A parameter set of the original under `BNN_PARAMS` is used first; where there is none,
# the bundled model.
# %% [ja]
# ## 元のスクリプトのまま
#
# `available_params` と `CnvClassifier` は、BNN-PYNQ と同じインターフェースです。`BNN_PARAMS` に BNN-PYNQ のパラメータセットがあればそれを、なければ
# 付属のモデルを使います。
# %%
print(bnn.available_params(bnn.NETWORK_CNVW1A1))
classifier = bnn.CnvClassifier(bnn.NETWORK_CNVW1A1, "cifar10", bnn.RUNTIME_SW)
found = classifier.classify_path(photo)
print("class number:", found, "class name:", classifier.class_name(found))
# %% [en]
# The same scores, drawn: the original's interface beside `bnn.Classifier`, which has the bundled model.
# %% [ja]
# 同じスコアをグラフにします。左が BNN-PYNQ のインターフェース、右が付属のモデルを使う `bnn.Classifier` です。
# %%
with contextlib.redirect_stdout(io.StringIO()):  # the original's methods print their times
    before = classifier.classify_image_details(Image.open(photo))
clf = bnn.Classifier("cnv-w1a1")
after = clf.scores(photo)[0]

fig, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.2))
left.imshow(Image.open(photo))
left.axis("off")
for axis, scores, title in (
    (middle, before, "CnvClassifier"),
    (right, after, "bnn.Classifier('cnv-w1a1')"),
):
    colours = ["tab:orange" if at == np.argmax(scores) else "tab:blue" for at in range(10)]
    axis.barh(clf.classes, np.asarray(scores).ravel(), color=colours)
    axis.set(title=title, xlabel="score")
    axis.invert_yaxis()
fig.tight_layout()
plt.show()
# %% [en]
# ## Hardware and software
#
# The circuit's cycles are exact and known without simulating it; at the original's clock of 100 MHz they are a time. The last bar is this machine's processor. The original's
# notebook recorded 527 us for one picture on an Ultra96's FPGA (at 300 MHz, with the time to get through all layers), and 418,664 us on its processor.
# %% [ja]
# ## ハードウェアとソフトウェア
#
# 回路のサイクル数は、シミュレーションしなくても正確に分かります。元と同じ 100 MHz のクロックなら、それが時間になります。最後の棒はこの PC のプロセッサです。
# 元のノートブックには、Ultra96 の FPGA（300 MHz）で画像 1 枚に 527 us（全層を通り抜ける時間）、ボードのプロセッサで 418,664 us と記録されています。
# %%
program = clf.model.program
cycles = build(program, folding.original(program)).cycles
clf.classify([photo] * 200)
times = {"circuit, 100 MHz": cycles / 100, "this machine's CPU": clf.last_run.us_per_image}

fig, axis = plt.subplots(figsize=(8, 1.8))
axis.barh(list(times), list(times.values()))
for row, time in enumerate(times.values()):
    axis.text(time, row, f" {time:.0f} us", va="center")
axis.set(xlabel="us per picture")
axis.margins(x=0.15)
axis.invert_yaxis()
plt.show()
# %% [en]
# ## The circuit itself
#
# Set `SIMULATE` to `True`, and the circuit is simulated: the very same scores, cycle by cycle. The simulator of CNV takes minutes to compile, once. On a
# board, use `runtime="board"` and the folder of a build.
# %% [ja]
# ## 回路そのもの
#
# `SIMULATE` を `True` にすると、回路を 1 サイクルずつシミュレーションします。スコアはまったく同じになります。CNV のシミュレータは、初回だけコンパイルに
# 数分かかります。ボードでは、`runtime="board"` と、回路を生成したフォルダを指定してください。
# %%
SIMULATE = False
if SIMULATE:
    circuit = bnn.Classifier("cnv-w1a1", runtime="sim", folding="original", quick=True)
    assert np.array_equal(circuit.scores(photo)[0], after)
    print("equal scores;", circuit.last_run.details["cycles"], "cycles for one picture")
# %% [en]
# ## All ten samples
# %% [ja]
# ## 付属の 10 枚すべて
# %%
photos = sorted(samples.glob("*.png"))
probabilities = clf.probabilities(photos)

fig, axis = plt.subplots(figsize=(6, 5))
drawn = axis.imshow(probabilities, cmap="Blues", vmin=0, vmax=1)
axis.set(
    xticks=range(10),
    yticks=range(10),
    yticklabels=[path.stem for path in photos],
    xlabel="found",
    ylabel="picture",
    title="probabilities",
)
axis.set_xticklabels(clf.classes, rotation=90)
fig.colorbar(drawn)
plt.show()
