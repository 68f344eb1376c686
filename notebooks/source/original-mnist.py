# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 6: MNIST on hardware and software
#
# The original's notebook LFC-QNN_MNIST: a handwritten digit on LFC W1A1 and W1A2, with the FPGA and with the processor. Here the FPGA's circuit is simulated, cycle by
# cycle (`pip install '.[notebooks,sim]'`). The first simulation takes a minute or two, because the simulator is compiled.
# %% [ja]
# # BNN-PYNQ をもう一度 6：ハードウェアとソフトウェアで MNIST
#
# 元のノートブック LFC-QNN_MNIST では、手書き数字を LFC の W1A1 と W1A2 で、FPGA とプロセッサの両方で認識しました。ここでは FPGA の回路を 1 サイクルずつ
# シミュレーションします（`pip install '.[notebooks,sim]'`）。1 回目はシミュレータをコンパイルするので、1〜2 分かかります。
# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import bnn

samples = Path(bnn.__file__).parent / "samples" / "mnist"
work = Path(tempfile.mkdtemp())
# %% [en]
# ## A picture in MNIST's format
#
# The original reads IDX files, MNIST's format: a header of 16 bytes, then one byte per pixel. We write one.
# %% [ja]
# ## MNIST 形式の画像
#
# 元のノートブックは、MNIST の形式である IDX ファイルを読みました。16 バイトのヘッダの後に、1 画素 1 バイトで画素が並びます。一つ作ってみます。
# %%
digit = np.asarray(Image.open(samples / "3.png"))
header = np.array([0x803, 1, 28, 28], ">u4").tobytes()
(work / "3.image-idx3-ubyte").write_bytes(header + digit.tobytes())

fig, axis = plt.subplots(figsize=(2, 2))
axis.imshow(digit, cmap="gray")
axis.axis("off")
plt.show()
# %% [en]
# ## The original's lines
#
# `RUNTIME_HW` without a board is the simulated circuit; a line says so. The printed time is that of the circuit at 100 MHz, not that of the simulation.
# %% [ja]
# ## 元のスクリプトのまま
#
# ボードがないとき、`RUNTIME_HW` は回路のシミュレーションになり、そのことが 1 行表示されます。表示される時間はシミュレーションの時間ではなく、回路を 100 MHz で
# 動かしたときの時間です。
# %%
hardware = bnn.LfcClassifier(bnn.NETWORK_LFCW1A1, "mnist", bnn.RUNTIME_HW)
software = bnn.LfcClassifier(bnn.NETWORK_LFCW1A1, "mnist", bnn.RUNTIME_SW)
found = [each.classify_mnist(work / "3.image-idx3-ubyte") for each in (hardware, software)]
print("hardware:", hardware.class_name(found[0]), " software:", software.class_name(found[1]))
# %%
assert found == [3, 3]
# %% [en]
# ## Scores, side by side
#
# `bnn.Classifier` shows the scores. Those of the circuit and of the processor are equal, all of them.
# %% [ja]
# ## スコアを並べる
#
# `bnn.Classifier` はスコアを返します。回路とプロセッサのスコアは、すべて等しくなります。
# %%
circuit = bnn.Classifier("lfc-w1a1", runtime="sim", folding="original")
processor = bnn.Classifier("lfc-w1a1")
digits = [samples / f"{number}.png" for number in range(10)]
in_hardware, in_software = circuit.scores(digits), processor.scores(digits)
assert np.array_equal(in_hardware, in_software)

fig, axes = plt.subplots(1, 2, figsize=(10, 3), sharey=True)
for axis, scores, title in zip(
    axes, (in_hardware, in_software), ("hardware (simulated)", "software"), strict=True
):
    axis.bar(
        range(10), scores[3], color=["tab:orange" if at == 3 else "tab:blue" for at in range(10)]
    )
    axis.set(title=title, xlabel="class", ylabel="score", xticks=range(10))
plt.show()
# %% [en]
# ## Time
#
# One picture alone takes the latency of the whole circuit; in a batch a picture follows every interval.
# %% [ja]
# ## 時間
#
# 1 枚だけなら、回路全体を通る時間（レイテンシ）がかかります。まとめて処理すると、一定の間隔で次々に結果が出ます。
# %%
cycles = {}
for number in (1, 2, 5, 10):
    circuit.classify(digits[:number])
    cycles[number] = circuit.last_run.details["cycles"]

fig, axis = plt.subplots(figsize=(6, 3))
axis.plot(list(cycles), [each / 100 for each in cycles.values()], "o-")
axis.set(xlabel="pictures", ylabel="us at 100 MHz", ylim=(0, None))
plt.show()
# %% [en]
# ## One and two bits
#
# W1A2 has activations of 2 bits. Here on the processor.
# %% [ja]
# ## 1 ビットと 2 ビット
#
# W1A2 の活性値は 2 ビットです。ここではプロセッサで比べます。
# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6))
for axis, name in zip(axes, ("lfc-w1a1", "lfc-w1a2"), strict=True):
    drawn = axis.imshow(bnn.Classifier(name).probabilities(digits), cmap="Blues", vmin=0, vmax=1)
    axis.set(title=name, xlabel="found", ylabel="picture", xticks=range(10), yticks=range(10))
fig.colorbar(drawn, ax=axes, label="probability")
plt.show()
