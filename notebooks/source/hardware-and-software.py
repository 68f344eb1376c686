# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # Hardware and software side by side
#
# BNN-PYNQ's notebooks classified the same pictures with the FPGA and with the processor. This one does so on a PC: the
# *hardware* is the real circuit, simulated cycle by cycle. On a PYNQ board, write `runtime="board"` and the folder of a build.
# It needs `pip install '.[notebooks,sim]'`. The first simulation takes a minute, because the simulator is compiled.
# %% [ja]
# # ハードウェアとソフトウェアを並べて比べる
#
# BNN-PYNQ のノートブックは、同じ画像を FPGA とプロセッサの両方で分類しました。ここでは PC の上で同じことをします。
# *ハードウェア*は、実際の回路を 1 サイクルずつシミュレーションしたものです。PYNQ ボードでは `runtime="board"` と、回路を生成した
# フォルダを指定してください。`pip install '.[notebooks,sim]'` が必要です。1 回目はシミュレータをコンパイルするので、1 分ほどかかります。
# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bnn
from bnn.hw import folding
from bnn.hw.design import build

samples = Path(bnn.__file__).parent / "samples"
digits = [samples / "mnist" / f"{digit}.png" for digit in range(10)]
# %% [en]
# ## MNIST with LFC
#
# Both runtimes give the same integers. Not nearly the same: every score of every picture is equal.
# %% [ja]
# ## LFC で MNIST
#
# 二つのランタイムは同じ整数を返します。ほぼ同じではなく、すべての画像のすべてのスコアが等しくなります。
# %%
software = bnn.Classifier("lfc-w1a1")
hardware = bnn.Classifier("lfc-w1a1", runtime="sim", folding="original")
in_software, in_hardware = software.scores(digits), hardware.scores(digits)
assert np.array_equal(in_software, in_hardware)

fig, axes = plt.subplots(1, 2, figsize=(12, 4), sharey=True)
for axis, scores, name in zip(
    axes, (in_hardware, in_software), ("hardware", "software"), strict=True
):
    axis.imshow(scores, cmap="viridis")
    axis.set(title=name, xlabel="class", ylabel="picture", xticks=range(10), yticks=range(10))
plt.show()
# %% [en]
# ## Time
#
# The circuit's time is counted in cycles, which are exact; at 100 MHz a cycle is 10 ns. The first picture takes longer (latency) than
# the interval from one result to the next, because all layers work at the same time on different pictures.
# %% [ja]
# ## 時間
#
# 回路の時間はサイクル数で数えます。これは正確な値で、100 MHz なら 1 サイクルは 10 ns です。すべての層が別々の画像を同時に処理するので、
# 1 枚目の結果が出るまでの時間（レイテンシ）は、その後の結果の間隔より長くなります。
# %%
details = hardware.last_run.details
print(
    f"{len(digits)} pictures: {details['cycles']} cycles, {details['cycles'] / 100:.1f} us at 100 MHz"
)
for number in (1, 10):
    hardware.classify(digits[:number])
    print(f"{number:2} pictures: {hardware.last_run.details['cycles']} cycles")
# %% [en]
# ## When data is copied
#
# The classifier keeps a ledger of all copies between processor and accelerator.
# %% [ja]
# ## データはいつ転送されるか
#
# 分類器は、プロセッサとアクセラレータの間の転送をすべて記録しています。
# %%
fresh = bnn.Classifier("lfc-w1a1", runtime="sim", folding="original")
fresh.classify(digits)
copies = fresh.last_run.details["ledger"]
fig, axis = plt.subplots(figsize=(8, 2.5))
axis.barh([copy["what"] for copy in copies][::-1], [copy["bytes"] for copy in copies][::-1])
axis.set(xlabel="bytes", xscale="log", title="copies of the first call")
plt.show()
# %% [en]
# ## CIFAR-10 with CNV
#
# CNV's simulator takes minutes to compile, so here the circuit is only built, which says its cycles; its scores are those of
# the software (the tests of this package compare them).
# %% [ja]
# ## CNV で CIFAR-10
#
# CNV のシミュレータはコンパイルに数分かかるので、ここでは回路を組み立ててサイクル数だけを求めます。スコアはソフトウェアと
# 同じです（このパッケージのテストで比べています）。
# %%
photos = sorted((samples / "cifar10").glob("*.png"))
names = ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2")
rates = {}
for name in names:
    classifier = bnn.Classifier(name)
    classifier.classify(photos * 20)
    program = classifier.model.program
    cycles = build(program, folding.original(program)).cycles
    rates[name] = (1e8 / cycles, 1e6 / classifier.last_run.us_per_image)

fig, axis = plt.subplots(figsize=(8, 3))
at = np.arange(len(names))
axis.bar(at - 0.2, [rates[name][0] for name in names], 0.4, label="circuit at 100 MHz")
axis.bar(at + 0.2, [rates[name][1] for name in names], 0.4, label="this machine's CPU")
axis.set(xticks=at, xticklabels=names, ylabel="pictures per second")
axis.legend()
plt.show()
# %% [en]
# ## One photo, three networks
# %% [ja]
# ## 写真 1 枚、ネットワーク三つ
# %%
frog = [samples / "cifar10" / "Frog.png"]
fig, axes = plt.subplots(1, 3, figsize=(12, 3), sharey=True)
for axis, name in zip(axes, names, strict=True):
    classifier = bnn.Classifier(name)
    axis.barh(classifier.model.classes, classifier.scores(frog)[0])
    axis.set(title=name, xlabel="score")
plt.show()
