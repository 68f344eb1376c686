# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # Convert a Keras, a Chainer and a Brevitas model
#
# Three small networks that were trained with Larq (Keras), Chainer and Brevitas (PyTorch) lie in the folder `fixtures`, each with the
# answers that its own framework gave. Here they are converted and compared with these answers. None of the three frameworks has to be
# installed; only `pip install '.[notebooks,convert]'` is needed.
# %% [ja]
# # Keras、Chainer、Brevitas のモデルを変換する
#
# フォルダ `fixtures` には、Larq（Keras）、Chainer、Brevitas（PyTorch）で学習した小さなネットワークが一つずつあります。それぞれに、
# 元のフレームワークが出した答えも保存してあります。ここでは三つを変換し、結果をその答えと比べます。
# 三つのフレームワークはどれもいりません。必要なのは `pip install '.[notebooks,convert]'` だけです。
# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import bnn
from bnn.errors import BnnError
from bnn.formats.convert import Options, convert, export
from bnn.model.file import save
from bnn.plan import plan

FIXTURES = next(
    folder / "fixtures"
    for folder in (Path.cwd(), *Path.cwd().parents)
    if (folder / "fixtures" / "chainer").exists()
)
work = Path(tempfile.mkdtemp())
# %% [en]
# ## The pictures
#
# Ten digits of MNIST's test set come with the package. The stored answers are those to the first 1000 pictures of the test set; the list `PLACES`
# says where the ten are among them.
# %% [ja]
# ## 画像
#
# MNIST のテストセットの数字が 10 枚、パッケージに付属しています。保存してある答えは、テストセットの最初の 1000 枚に対するものです。
# リスト `PLACES` は、10 枚がその何番目かを示します。
# %%
samples = Path(bnn.__file__).parent / "samples" / "mnist"
digits = np.stack([np.asarray(Image.open(samples / f"{digit}.png")) for digit in range(10)])
PLACES = [3, 2, 1, 18, 4, 8, 11, 0, 61, 7]


def stored(name):
    """The framework's own logits of the ten digits."""
    with np.load(FIXTURES / f"{name}.answers.npz") as answers:
        return answers["logits"][PLACES]


fig, axes = plt.subplots(1, 10, figsize=(12, 1.6))
for axis, digit in zip(axes, digits, strict=True):
    axis.imshow(digit, cmap="gray")
    axis.axis("off")
plt.show()
# %% [en]
# ## Keras (Larq)
#
# `convert` recognises the format, reads every layer and lowers it to a program of integers. The report says what was read, what was assumed
# and what could not be kept. It is the same as that of `bnn convert`.
# %% [ja]
# ## Keras（Larq）
#
# `convert` は形式を判別し、すべての層を読んで整数のプログラムに変えます。レポートには、何を読み、何を仮定し、何を残せなかったかが
# 示されます。`bnn convert` が表示するものと同じです。
# %%
keras = convert(FIXTURES / "keras" / "larq-tutorial.h5")
print("\n".join(keras.report.lines()))
# %% [en]
# This file does not quantize its input, so the report says what was assumed: bytes divided by 127.5, minus 1. We give the converted model
# exactly what Keras was given.
# %% [ja]
# このファイルは入力を量子化していません。そのため、何を仮定したか（バイトを 127.5 で割って 1 を引いた値）がレポートに出ます。変換したモデルには、
# Keras に与えたのと同じ値を与えます。
# %%
inputs = {"Keras (Larq)": digits[..., None] / np.float32(127.5) - np.float32(1)}
answers = {"Keras (Larq)": stored("keras/larq-tutorial")}
models = {"Keras (Larq)": keras.model}
# %% [en]
# ## Chainer
#
# An archive of `save_npz` has arrays only: no order of layers, no sign functions. For a plain multi-layer perceptron the numbers in the names of the
# links are enough; other networks need their layers in a text file (`Options(topology="net.toml")`). Nor does it say what the input is: this network
# takes the sign of each pixel first, which `bipolar` says.
# %% [ja]
# ## Chainer
#
# `save_npz` のファイルにあるのは配列だけで、層の順序も符号関数も書かれていません。単純な多層パーセプトロンなら、リンク名の番号だけで順序が分かります。
# ほかの構成なら、層の並びをテキストファイルで渡します（`Options(topology="net.toml")`）。入力が何であるかも書かれていません。このネットワークは
# 最初に各画素の符号を取るので、`bipolar` と指定します。
# %%
chainer = convert(FIXTURES / "chainer" / "mlp.npz", options=Options(input="bipolar"))
print("\n".join(chainer.report.lines()))
inputs["Chainer"] = (digits.reshape(10, -1) / np.float32(255) * 2 - 1).astype(np.float32)
answers["Chainer"] = stored("chainer/mlp")
models["Chainer"] = chainer.model
# %% [en]
# ## Brevitas
#
# A checkpoint of Brevitas' own example networks. An export to QONNX (`tfc-w2a2.onnx`) is read in the same way, and says its bits itself.
# %% [ja]
# ## Brevitas
#
# Brevitas の例題のネットワークのチェックポイントです。QONNX に書き出したファイル（`tfc-w2a2.onnx`）も同じ方法で読めます。こちらは
# ビット数もファイルに書かれています。
# %%
for title, file in (
    ("Brevitas W1A1", "tfc-w1a1.tar"),
    ("Brevitas W2A2, QONNX", "tfc-w2a2.onnx"),
):
    conversion = convert(FIXTURES / "brevitas" / file)
    print(title, "-", len(conversion.report.layers), "layers read,", conversion.report.lost)
    inputs[title] = digits[..., None] / np.float32(255)
    answers[title] = stored(f"brevitas/{file.split('.')[0]}")
    models[title] = conversion.model
# %% [en]
# ## The same answers
#
# Horizontal: the logits of the framework. Vertical: those of the converted model. If the conversion lost something, points would be off the
# diagonal. (Our logits are whole numbers times a scale; the framework sums in float32, whose last digits differ.)
# %% [ja]
# ## 答えは同じか
#
# 横軸は元のフレームワークのロジット、縦軸は変換したモデルのロジットです。変換で何かが失われていれば、点が対角線から外れます
# （変換したモデルのロジットは、整数にスケールを掛けた値です。フレームワークは float32 で足すので、最後の桁だけが異なります）。
# %%
fig, axes = plt.subplots(1, len(models), figsize=(14, 3.6))
for axis, (title, model) in zip(axes, models.items(), strict=True):
    ours = bnn.Classifier(model).logits(inputs[title])
    axis.plot(answers[title].ravel(), ours.ravel(), ".")
    axis.axline((0, 0), slope=1, color="grey", linewidth=0.8)
    axis.set(title=title, xlabel="framework", ylabel="converted")
    assert np.array_equal(ours.argmax(axis=1), answers[title].argmax(axis=1))
    assert np.allclose(ours, answers[title], rtol=0, atol=1e-5)
fig.tight_layout()
plt.show()
# %% [en]
# The classes are those of the framework too, including its mistakes: these networks are small.
# %% [ja]
# クラスもフレームワークと同じです。間違いまで同じになります。どれも小さなネットワークだからです。
# %%
for title, model in models.items():
    print(f"{title:22}", bnn.Classifier(model).classify(inputs[title]).tolist())
# %% [en]
# ## Keep it, plan it, write it for the original's overlays
#
# A converted model is a `.bnn` file like all others: `bnn classify`, `bnn plan`, `bnn serve`. `export` goes the other way, here to QONNX.
# %% [ja]
# ## 保存する、見積もる、ほかの形式に書き出す
#
# 変換したモデルは、ほかのモデルと同じ `.bnn` ファイルになり、`bnn classify`、`bnn plan`、`bnn serve` で使えます。`export` は逆向きの変換です。
# ここでは QONNX に書き出します。
# %%
model = models["Brevitas W1A1"]
save(model, work / "tfc.bnn")
again = bnn.Classifier(work / "tfc.bnn").scores(inputs["Brevitas W1A1"])
assert np.array_equal(again, bnn.Classifier(model).scores(inputs["Brevitas W1A1"]))
export(model, "qonnx", work / "tfc.onnx")

found = plan(work / "tfc.bnn", on="xc7z020")
print(f"fits the XC7Z020 at {found.fps:,.0f} pictures per second, {found.cost.lut:,.0f} LUT")
# %% [en]
# ## What is refused
#
# What a reader does not understand, it refuses by name; nothing is guessed. Here the file is cut off.
# %% [ja]
# ## 変換できないもの
#
# 理解できないものがあれば、その名前を示してエラーになります。推測はしません。ここでは途中で切れたファイルを読ませてみます。
# %%
whole = (FIXTURES / "keras" / "larq-tutorial.h5").read_bytes()
(work / "cut.h5").write_bytes(whole[: len(whole) // 2])
try:
    convert(work / "cut.h5")
except BnnError as reason:
    print("refused:", str(reason).replace(str(work), "..."))
