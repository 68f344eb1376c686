# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # Look inside: weights, sums, thresholds, waveforms
#
# A network of bits is small enough to be looked at as a whole. This notebook takes one with three layers of 40 neurons for digits (a Brevitas
# model in `fixtures`), follows one digit through it, flips single pixels, and shows at the end the signals of the circuit, cycle by cycle.
# It needs `pip install '.[notebooks,sim]'`. The simulator of the last part is compiled once, which takes a minute or two.
# %% [ja]
# # 中を見る：重み、和、しきい値、波形
#
# 二値化ネットワークは、全体を目で追えるほど小さなものです。このノートブックでは、40 ニューロンの層を三つ持つ数字認識のネットワーク（`fixtures` にある
# Brevitas のモデル）を使い、数字 1 枚が通る様子を追い、画素を一つずつ反転させ、最後に回路の信号を 1 サイクルずつ見ます。
# `pip install '.[notebooks,sim]'` が必要です。最後の節で使うシミュレータは、初回だけコンパイルに 1〜2 分かかります。
# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import bnn
from bnn.formats.convert import convert
from bnn.program.operations import Dot, Threshold

FIXTURES = next(
    folder / "fixtures"
    for folder in (Path.cwd(), *Path.cwd().parents)
    if (folder / "fixtures" / "brevitas").exists()
)
samples = Path(bnn.__file__).parent / "samples" / "mnist"
model = convert(FIXTURES / "brevitas" / "tfc-w1a1.tar").model
clf = bnn.Classifier(model)
digits = np.stack([np.asarray(Image.open(samples / f"{digit}.png")) for digit in range(10)])
inputs = digits[..., None] / np.float32(255)  # what Brevitas was given
# %% [en]
# ## One digit on its way
#
# `clf.activations` returns every value that passes between two operations. The 784 bits of the input become 40 sums, these become 40 bits, and so on; the
# last layer has ten sums, the scores.
# %% [ja]
# ## 数字 1 枚の通り道
#
# `clf.activations` は、演算の間を流れる値をすべて返します。入力の 784 ビットが 40 個の和になり、和が 40 ビットになり、それが繰り返されます。
# 最後の層の 10 個の和がスコアです。
# %%
edges = clf.activations(inputs)
shown = {name: values[4] for name, values in edges.items()}
fig, axes = plt.subplots(1, len(shown), figsize=(2.1 * len(shown), 3))
for axis, (name, values) in zip(axes, shown.items(), strict=True):
    flat = values.reshape(-1)
    image = (
        flat.reshape(28, 28) if flat.size == 784 else flat.reshape(-1, 5 if flat.size > 9 else 1)
    )
    axis.imshow(image, cmap="gray" if set(np.unique(flat)) <= {-1, 1} else "viridis")
    axis.set_title(f"{name}\n{flat.size} values\n{flat.min()} to {flat.max()}", fontsize=8)
    axis.axis("off")
plt.show()
# %% [en]
# ## A neuron is a picture of signs
#
# Each neuron of the first layer has 784 weights, each +1 or -1: a picture. Where input and weight are equal, XNOR is 1. The sum is 2p - n, where p counts these ones
# (popcount) and n is 784. We compute it with NumPy; the network has the same number.
# %% [ja]
# ## ニューロンは符号の画像
#
# 第 1 層のニューロンは、どれも +1 か -1 の重みを 784 個持っています。画像として描けます。入力と重みが等しい所で XNOR は 1 になります。和は 2p - n です。
# p はこの 1 の個数（ポップカウント）、n は 784 です。NumPy で計算すると、ネットワークの値と一致します。
# %%
dot = next(op for op in model.program.ops if isinstance(op, Dot))
weights = np.asarray(dot.weights).reshape(-1, 784)
bits = edges["input"][4].reshape(784)
neurons = np.argsort(edges[dot.name][4].reshape(-1))[
    [0, 20, -1]
]  # the smallest sum, one in the middle, the largest

fig, axes = plt.subplots(3, 3, figsize=(7, 7))
for row, neuron in zip(axes, neurons, strict=True):
    equal = weights[neuron] == bits
    ours = 2 * int(equal.sum()) - 784
    assert ours == edges[dot.name][4].reshape(-1)[neuron]
    for axis, (what, values) in zip(
        row,
        (
            ("input", bits),
            (f"weights of neuron {neuron}", weights[neuron]),
            (f"XNOR: sum {ours}", equal),
        ),
        strict=True,
    ):
        axis.imshow(values.reshape(28, 28), cmap="gray")
        axis.set_title(what, fontsize=9)
        axis.axis("off")
plt.show()
# %% [en]
# ## Sums and thresholds
#
# The bars are the 40 sums of the first layer, the black marks its 40 thresholds: these replace batch norm and sign exactly. Blue sums reach their
# threshold and become +1. (Where a neuron's sign is -1, sum and threshold are shown negated.)
# %% [ja]
# ## 和としきい値
#
# 棒は第 1 層の 40 個の和、黒い印は 40 個のしきい値です。しきい値は、バッチ正規化と符号関数を誤差なく置き換えたものです。青い和は
# しきい値に達していて、+1 になります（符号が -1 のニューロンでは、和としきい値の正負を反転して描いています）。
# %%
threshold = next(op for op in model.program.ops if isinstance(op, Threshold))
limits = threshold.thresholds[:, 0]
signs = np.ones(40, int) if threshold.signs is None else np.asarray(threshold.signs)
sums = signs * edges[threshold.source][4].reshape(-1)
reached = sums >= limits
assert np.array_equal(np.where(reached, 1, -1), edges[threshold.name][4].reshape(-1))

fig, axis = plt.subplots(figsize=(12, 3))
axis.bar(range(40), sums, color=np.where(reached, "tab:blue", "tab:orange"))
axis.plot(range(40), limits, "k_", markersize=9, label="threshold")
axis.set(xlabel="neuron", ylabel="sum")
axis.legend()
plt.show()
# %% [en]
# ## Flip one pixel
#
# 784 pictures, each with another pixel flipped. Left: how far the score of class 4 moves. Right: how many of the first layer's 40 bits change. Many pixels
# change nothing, the others one bit: a flipped pixel moves each sum by 2, and a sum that is not near its threshold keeps its bit.
# %% [ja]
# ## 画素を一つ反転させる
#
# 画素を一つだけ反転させた画像を 784 枚作ります。左はクラス 4 のスコアの変化、右は第 1 層の 40 ビットのうち変わったビットの数です。多くの画素は
# 何も変えず、残りの画素が変えるのも 1 ビットだけです。画素を一つ反転させると和は 2 だけ動きますが、しきい値に近くない和のビットは変わらないからです。
# %%
flipped = np.repeat(inputs[4:5], 784, axis=0).reshape(784, 784)
np.fill_diagonal(flipped, np.where(bits > 0, 0, 1))
flipped = flipped.reshape(784, 28, 28, 1)
moved = clf.scores(flipped)[:, 4] - clf.scores(inputs[4:5])[0, 4]
changed = (clf.activations(flipped)[threshold.name] != edges[threshold.name][4]).reshape(784, 40)

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
limit = max(1, np.abs(moved).max())
for axis, values, title, options in (
    (
        left,
        moved,
        "change of the score of class 4",
        {"cmap": "coolwarm", "vmin": -limit, "vmax": limit},
    ),
    (right, changed.sum(axis=1), "changed bits of the first layer", {"cmap": "viridis"}),
):
    drawn = axis.imshow(values.reshape(28, 28), **options)
    axis.set_title(title)
    axis.axis("off")
    fig.colorbar(drawn, ax=axis)
plt.show()
# %%
print(f"{np.mean(changed.sum(axis=1) == 0):.0%} of the pixels change no bit of the first layer")
assert np.mean(changed) < 0.2
# %% [en]
# ## The circuit's own values
#
# Now the circuit, simulated. With `watched=True` it shows the words of its streams, and `activations` compares every one of them with
# the network's values; one that differs would raise an error.
# %% [ja]
# ## 回路の中の値
#
# 次は回路をシミュレーションします。`watched=True` を付けると、ストリームを流れるワードを取り出せます。`activations` はそれを
# ネットワークの値とすべて比べ、一つでも違えばエラーになります。
# %%
waves = Path(tempfile.mkdtemp()) / "waves.vcd"
circuit = bnn.Classifier(model, runtime="sim", watched=True, quick=True)
inside = circuit.activations(inputs[4:5])
print("compared, all equal:", ", ".join(inside))
assert np.array_equal(inside[threshold.name][0], edges[threshold.name][4])
# %% [en]
# ## Waveforms
#
# With `trace=` the simulator writes a file of waveforms (VCD), which GTKWave or Surfer show. Its format is simple enough to be read here. Between two blocks a word moves in each cycle in which *valid* (the producer
# offers it) and *ready* (the consumer takes it) are both 1.
# %% [ja]
# ## 波形
#
# `trace=` を指定すると、シミュレータは波形のファイル（VCD）を書き出します。GTKWave や Surfer で表示できます。形式は単純なので、ここでも読めます。
# ブロックの間では、*valid*（送り手がワードを出している）と *ready*（受け手が受け取れる）がともに 1 のサイクルで、ワードが一つ進みます。
# %%
traced = bnn.Classifier(model, runtime="sim", trace=waves, quick=True)
traced.classify(inputs[:3])


def signals(path, scope="core"):
    """The signals of one bit in a scope, per cycle: name -> uint8 (cycles,)."""
    codes, names, clock = {}, [], None
    lines = iter(path.read_text().splitlines())
    for line in lines:
        words = line.split()
        if words[:1] == ["$scope"]:
            names.append(words[2])
        elif words[:1] == ["$upscope"]:
            names.pop()
        elif words[:1] == ["$var"] and words[2] == "1":
            clock = clock or (words[3] if words[4] == "aclk" else None)
            if names[-1] == scope:
                codes[words[4]] = words[3]
        elif words[:1] == ["$enddefinitions"]:
            break
    now, cycles = dict.fromkeys(codes.values(), 0), []
    for line in lines:
        if line[:1] in ("0", "1") and line[1:] in (clock, *now):
            if line[1:] == clock and line[0] == "1":  # before the rising edge changes them
                cycles.append(list(now.values()))
            if line[1:] in now:
                now[line[1:]] = int(line[0])
    table = np.array(cycles, np.uint8).T
    places = {code: row for row, code in enumerate(now)}
    return {name: table[places[code]] for name, code in codes.items()}


found = signals(waves)
streams = [
    name.removesuffix("_valid") for name in found if name.endswith("_valid") and name[1] != "_"
]
moves = {name: found[f"{name}_valid"] & found[f"{name}_ready"] for name in streams}
for name, figures in traced.last_run.details["starts"][0]["streams"].items():
    assert moves[name].sum() == figures["words"], name  # the circuit's own counters say the same
# %% [en]
# Each row is a stream, from the memory to the result; each mark is a word that moves, for three digits. Where the marks of the first rows have gaps, the reader
# waits for a slower layer.
# %% [ja]
# 1 行が一つのストリームで、上がメモリ側、下が結果側です。印は、ワードが一つ進んだことを表します。数字 3 枚を処理しました。上の行の印に隙間があるのは、
# 読み出し側が、より遅い層を待っている所です。
# %%
fig, axis = plt.subplots(figsize=(12, 4))
axis.eventplot(
    [np.flatnonzero(moves[name]) for name in streams],
    lineoffsets=range(len(streams)),
    linelengths=0.7,
)
axis.set(xlabel="cycle", yticks=range(len(streams)), yticklabels=streams)
axis.invert_yaxis()
plt.show()
# %% [en]
# The handshake of one stream, at close range.
# %% [ja]
# ストリーム一つの valid と ready を拡大します。
# %%
name = threshold.name.replace(".", "_") if f"{threshold.name}_valid" in found else streams[3]
start = int(np.flatnonzero(moves[name])[0]) - 5
fig, axis = plt.subplots(figsize=(12, 2.5))
window = slice(start, start + 120)
rows = {
    "valid": found[f"{name}_valid"],
    "ready": found[f"{name}_ready"],
    "a word moves": moves[name],
}
for place, values in enumerate(rows.values()):
    axis.step(range(start, start + 120), values[window] * 0.7 + place, where="post")
axis.set(xlabel="cycle", yticks=[0.35, 1.35, 2.35], yticklabels=list(rows), title=name)
plt.show()
