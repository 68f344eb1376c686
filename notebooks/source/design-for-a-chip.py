# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # Design for a chip: speed and accuracy against LUTs
#
# Which network, with how much parallelism, fits the chip? Two choices are yours: the network (its bits and layers decide the
# accuracy) and the folding (how many rows and columns of each layer work at once decide the speed). Both cost LUTs. `bnn.plan`
# computes the cost in seconds, without FPGA tools.
# %% [ja]
# # チップに合わせて設計する：速さと正解率と LUT 数
#
# どのネットワークを、どれだけの並列度で作れば、チップに入るでしょうか。自分で決められることは二つあります。ネットワーク（ビット数と層が
# 正解率を決めます）と、フォールディング（各層で同時に計算する行数と列数が速さを決めます）です。どちらも LUT を消費します。
# `bnn.plan` は、FPGA の開発ツールなしで、必要な LUT 数を数秒で計算します。
# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt

from bnn.errors import PlanError
from bnn.plan import plan

# %% [en]
# ## Speed against LUTs
#
# The same network with more and more parallelism, on the XC7Z020 of a PYNQ-Z1 or -Z2. A request that does not fit is refused, with
# the reason.
# %% [ja]
# ## 速さと LUT 数
#
# 同じネットワークの並列度を上げていきます。チップは PYNQ-Z1 と PYNQ-Z2 の XC7Z020 です。収まらない条件を指定すると、理由を示すエラーになります。
# %%
requests = {
    "lfc-w1a1": (1_000, 10_000, 50_000, 200_000, 400_000),
    "cnv-w1a1": (100, 500, 1_000, 2_000, 3_000),
}
fig, axis = plt.subplots(figsize=(8, 4))
for name, wanted in requests.items():
    points = []
    for fps in wanted:
        try:
            found = plan(name, fps=fps, on="xc7z020")
        except PlanError as reason:
            print(f"{name}, {fps} pictures per second: {reason}")
            continue
        points.append((found.cost.lut, found.fps))
    axis.plot(*zip(*points, strict=True), "o-", label=name)
axis.axvline(53_200, color="grey", linestyle="--", label="LUTs of the chip")
axis.set(xlabel="LUT", ylabel="pictures per second", yscale="log")
axis.legend()
plt.show()
# %% [en]
# ## Accuracy against LUTs
#
# Three CNV networks that differ only in bits, each at 500 pictures per second, on the XCZU3EG of an Ultra96. The accuracy is that of the bundled models on
# the test set of CIFAR-10; it was measured by `tools/write_results.py`.
# %% [ja]
# ## 正解率と LUT 数
#
# ビット数だけが違う三つの CNV を、どれも Ultra96 の XCZU3EG に毎秒 500 枚で設計します。正解率は、付属モデルの CIFAR-10 テストセットでの値で、
# `tools/write_results.py` で測定したものです。
# %%
results = next(
    folder / "docs" / "results" / "accuracy.json"
    for folder in (Path.cwd(), *Path.cwd().parents)
    if (folder / "docs" / "results" / "accuracy.json").exists()
)
measured = {each["model"]: each for each in json.loads(results.read_text())["models"]}

fig, axis = plt.subplots(figsize=(8, 4))
for name in ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2"):
    found = plan(name, fps=500, on="xczu3eg")
    accuracy = 100 * measured[name]["correct"] / measured[name]["images"]
    axis.plot(found.cost.lut, accuracy, "o")
    axis.annotate(name, (found.cost.lut, accuracy), textcoords="offset points", xytext=(8, -4))
axis.set(xlabel="LUT at 500 pictures per second", ylabel="accuracy, %")
axis.margins(0.2)
plt.show()
# %% [en]
# ## Where the cycles go
#
# The slowest layer decides the speed of all. A good folding makes all layers about as fast; the bars of the plan below it are
# the layers' cycles.
# %% [ja]
# ## サイクルはどこで使われるか
#
# 全体の速さは最も遅い層で決まります。よいフォールディングでは、どの層もほぼ同じ速さになります。下の棒グラフは、計画した回路の
# 層ごとのサイクル数です。
# %%
found = plan("cnv-w1a1", fps=1_000, on="xc7z020")
print("slowest layer:", found.bottleneck, " clock:", found.clock_mhz, "MHz,", found.clock_is)
fig, axis = plt.subplots(figsize=(8, 3.5))
axis.barh([layer.name for layer in found.layers], [layer.cycles for layer in found.layers])
axis.invert_yaxis()
axis.set(xlabel="cycles per picture")
plt.show()
# %% [en]
# ## A network of your own
#
# Its shape is a text file (`docs/examples/small.toml`). Train it with `bnn train docs/examples/small.toml --data mnist -o small`, and plan it with
# `plan("small/model.bnn")`, or with `bnn plan small/model.bnn --board all`.
# %% [ja]
# ## 自分のネットワーク
#
# 構成はテキストファイルに書きます（`docs/examples/small.toml`）。`bnn train docs/examples/small.toml --data mnist -o small` で学習し、
# `plan("small/model.bnn")`、または `bnn plan small/model.bnn --board all` で見積もります。
