# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # Design your own network for the chip: accuracy against LUTs
#
# Which network is worth its logic? Seven networks of your own, from tiny to small, are trained on the same pictures, and `bnn.plan` says what each costs on the chip. The result is one
# picture: accuracy against LUTs. Training needs `pip install '.[train]'` (PyTorch) and takes about two minutes.
# %% [ja]
# # チップに合わせて自分のネットワークを設計する：正解率と LUT 数
#
# どのネットワークなら、使う論理に見合う正解率が得られるでしょうか。ごく小さなものから順に七つのネットワークを同じ画像で学習し、チップ上でのコストを `bnn.plan` で求めます。結果は、
# 正解率と LUT 数を軸にした 1 枚の図になります。学習には `pip install '.[train]'`（PyTorch）が必要で、2 分ほどかかります。
# %%
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

import bnn
from bnn.plan import plan

work = Path(tempfile.mkdtemp())
luck = random.Random(1)
FACES = ("DejaVu Sans", "DejaVu Sans:bold", "DejaVu Serif", "DejaVu Sans Mono", "STIXGeneral")
FONTS = [font_manager.findfont(face) for face in FACES]  # they come with Matplotlib
# %% [en]
# ## The pictures
#
# Digits in several fonts, turned and moved, with dots of noise: easy for a person, not for 16 neurons. Use a folder of your own here.
# %% [ja]
# ## 画像
#
# いくつかのフォントの数字を、回転し、ずらし、点の雑音を加えて描きます。人には簡単ですが、16 ニューロンには簡単ではありません。ここを自分のフォルダに置き換えても構いません。
# %%


def drawn(digit):
    """A digit in white on black, 28x28, with noise."""
    picture = Image.new("L", (56, 56))
    font = ImageFont.truetype(luck.choice(FONTS), luck.randint(36, 48))
    middle = (28 + luck.randint(-4, 4), 28 + luck.randint(-4, 4))
    ImageDraw.Draw(picture).text(middle, str(digit), 255, font, anchor="mm")
    picture = picture.rotate(luck.uniform(-15, 15), Image.Resampling.BILINEAR).resize((28, 28))
    pixels = np.asarray(picture).copy()
    for _ in range(40):
        pixels[luck.randrange(28), luck.randrange(28)] = luck.choice((0, 255))
    return Image.fromarray(pixels)


for digit in range(10):
    (work / "digits" / str(digit)).mkdir(parents=True)
    for number in range(200):
        drawn(digit).save(work / "digits" / str(digit) / f"{number}.png")
tried = [(digit, drawn(digit)) for digit in range(10) for _ in range(50)]

fig, axes = plt.subplots(1, 10, figsize=(12, 1.6))
for digit, axis in enumerate(axes):
    axis.imshow(drawn(digit), cmap="gray")
    axis.axis("off")
plt.show()
# %% [en]
# ## The networks
#
# A network is a text: its input, its bits, its layers. Here: how many neurons, how many layers, one or two bits.
# %% [ja]
# ## ネットワーク
#
# ネットワークはテキストで表します。入力、ビット数、層の並びを書きます。ここでは、ニューロンの数、層の数、1 ビットか 2 ビットかを変えます。
# %%
DESIGNS = {  # neurons of the hidden layers, values of the activations
    "16": ([16], "bipolar"),
    "32": ([32], "bipolar"),
    "64": ([64], "bipolar"),
    "64-64": ([64, 64], "bipolar"),
    "128-128": ([128, 128], "bipolar"),
    "32, A2": ([32], "int2n"),
    "64-64, A2": ([64, 64], "int2n"),
}


def topology(hidden, activations):
    """The text of a network for pictures of 28x28 and ten classes."""
    layers = "".join(f'  {{ dense = {neurons} }}, "norm", "act",\n' for neurons in hidden)
    return f"""
input = [28, 28, 1]
encoding = "sign"
weights = "bipolar"
activations = "{activations}"
layers = [
{layers}  {{ dense = 10 }}, {{ norm = "scalar" }},
]
"""


print(topology(*DESIGNS["64-64, A2"]))
# %% [en]
# ## Train each, plan each
#
# All plans are for 100,000 pictures per second on the XC7Z020 of a PYNQ-Z1 or -Z2. Accuracy is measured on 500 new pictures.
# %% [ja]
# ## 学習して、見積もる
#
# どの計画も、PYNQ-Z1 と PYNQ-Z2 の XC7Z020 で毎秒 100,000 枚を処理する回路です。正解率は、新しい 500 枚の画像で測ります。
# %%
bnn_command = Path(sys.executable).with_name("bnn")
results = {}
for number, (name, design) in enumerate(DESIGNS.items()):
    file, run = work / f"net{number}.toml", work / f"run{number}"
    file.write_text(topology(*design))
    command = [bnn_command, "train", file, "--data", work / "digits", "--epochs", "15"]
    command += ["--augment", "none", "--json", "-o", run]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    clf = bnn.Classifier(run / "model.bnn")
    found = clf.classify([picture for _, picture in tried])
    accuracy = np.mean(
        [clf.classes[at] == str(digit) for at, (digit, _) in zip(found, tried, strict=True)]
    )
    planned = plan(run / "model.bnn", fps=100_000, on="xc7z020")
    results[name] = (planned.cost.lut, 100 * accuracy)
    print(
        f"{name:10} {100 * accuracy:5.1f} %  {planned.cost.lut:6,.0f} LUT  {planned.fps:,.0f} per second"
    )
# %% [en]
# ## Accuracy against LUTs
#
# The line joins the networks that no other beats in both: more accurate with fewer LUTs. Choose on this line.
# %% [ja]
# ## 正解率と LUT 数
#
# 線で結んだのは、正解率と LUT 数の両方でほかに負けないネットワークです（パレート解）。この線の上から選びます。
# %%
best = [
    (lut, accuracy)
    for lut, accuracy in sorted(results.values())
    if not any(other < lut and better >= accuracy for other, better in results.values())
]
fig, axis = plt.subplots(figsize=(8, 4))
axis.plot(*zip(*best, strict=True), color="grey", linewidth=0.8)
for name, (lut, accuracy) in results.items():
    axis.plot(lut, accuracy, "o")
    axis.annotate(name, (lut, accuracy), textcoords="offset points", xytext=(6, -10))
axis.set(xlabel="LUT at 100,000 pictures per second", ylabel="accuracy, %")
axis.margins(0.15)
plt.show()
# %%
assert results["128-128"][1] > results["16"][1]
# %% [en]
# ## Its circuit
#
# `bnn build run/model.bnn --fps 100000 -o accelerator` makes the circuit of the one that you choose; `--runtime sim` simulates it. The bars are the cycles of each layer in its plan: the longest decides
# the speed.
# %% [ja]
# ## 回路にする
#
# 選んだネットワークの回路は `bnn build run/model.bnn --fps 100000 -o accelerator` で作れます。`--runtime sim` でシミュレーションもできます。棒は、計画した回路の層ごとの
# サイクル数です。最も長いものが全体の速さを決めます。
# %%
chosen = plan(work / "run3" / "model.bnn", fps=100_000, on="xc7z020")
fig, axis = plt.subplots(figsize=(8, 2))
axis.barh([layer.name for layer in chosen.layers], [layer.cycles for layer in chosen.layers])
axis.set(xlabel="cycles per picture", title="64-64")
axis.invert_yaxis()
plt.show()
