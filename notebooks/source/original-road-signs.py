# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 4: road signs
#
# The original's notebook CNV-BNN_Road-Signs: 42 German road signs, and then a sign is searched for in a scene. The network is the original's own parameter set
# `road-signs-cnvW1A1`; it is not bundled. Put it under a folder that `BNN_PARAMS` names; without it the next cell says so.
# %% [ja]
# # BNN-PYNQ をもう一度 4：道路標識
#
# 元のノートブック CNV-BNN_Road-Signs では、ドイツの道路標識 42 種類を認識し、さらに風景の中から標識を探しました。ネットワークは BNN-PYNQ のパラメータセット
# `road-signs-cnvW1A1` です。このパッケージには付属していません。`BNN_PARAMS` が示すフォルダに置いてください。ないときは、次のセルがそのことを伝えます。
# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw

import bnn
from bnn.hw import folding
from bnn.hw.design import build

clf = bnn.Classifier("road-signs-cnvW1A1")
print(len(clf.classes), "classes, for example", ", ".join(clf.classes[10:15]))
# %% [en]
# ## A sign
#
# A photo of a stop sign, if there is one (`images/stop.jpg` under `BNN_DATA`), else one that is drawn here.
# %% [ja]
# ## 標識
#
# 一時停止の標識の写真を使います（`BNN_DATA` の `images/stop.jpg`）。なければ、ここで描きます。
# %%
roots = [Path(root) for root in os.environ.get("BNN_DATA", "").split(os.pathsep) if root]
photos = [root / "images" / "stop.jpg" for root in roots]
photo = next((path for path in photos if path.exists()), None)


def drawn_sign():
    """A red octagon with a white border and a bar in the place of the letters."""
    picture = Image.new("RGB", (256, 256), (150, 170, 190))
    pen = ImageDraw.Draw(picture)
    pen.regular_polygon((128, 128, 124), 8, rotation=22, fill=(240, 240, 240))
    pen.regular_polygon((128, 128, 114), 8, rotation=22, fill=(180, 20, 30))
    for left in (62, 96, 132, 168):
        pen.rectangle((left, 104, left + 22, 152), outline=(240, 240, 240), width=9)
    return picture


sign = Image.open(photo).convert("RGB") if photo else drawn_sign()
scores = clf.scores([sign])[0]
best = np.argsort(-scores)[:8]

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.5), width_ratios=(1, 2))
left.imshow(sign)
left.axis("off")
right.barh([clf.classes[at][:40] for at in best], scores[best])
right.set(xlabel="score", title="the eight highest of 44")
right.invert_yaxis()
fig.tight_layout()
plt.show()
# %%
if photo:
    assert clf.classes[best[0]] == "Stop"
# %% [en]
# ## A sign in a scene
#
# `classify_tiles` cuts a larger picture into overlapping squares and classifies each. The original did this with a loop over `crop`. The last class of this network is "Not a roadsign".
# %% [ja]
# ## 風景の中の標識
#
# `classify_tiles` は、大きな画像を重なり合う正方形に切り分けて、それぞれを分類します。元のノートブックは `crop` を繰り返して同じことをしました。このネットワークの
# 最後のクラスは「標識ではない」（Not a roadsign）です。
# %%
luck = np.random.default_rng(1)
sky = np.linspace((120, 160, 220), (70, 90, 60), 240)[:, None] + luck.normal(0, 6, (240, 420, 3))
scene = Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))
side = min(sign.size)
middle = sign.crop(
    ((sign.width - side) // 2, (sign.height - side) // 2, *((n + side) // 2 for n in sign.size))
)
scene.paste(middle.resize((72, 72)), (250, 60))
tiles = clf.classify_tiles(scene, size=80, stride=20)
stops = [tile for tile in tiles if tile.class_name == "Stop"]
print(len(tiles), "squares,", len(stops), "of them with a stop sign")

fig, axis = plt.subplots(figsize=(8, 4.6))
axis.imshow(scene)
for tile in stops:
    left, top, right, bottom = tile.box
    axis.add_patch(
        plt.Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="yellow")
    )
axis.axis("off")
plt.show()
# %% [en]
# ## Hardware and software
#
# The same circuit as for CIFAR-10, with other parameters: its cycles per picture are the same. (`runtime="sim"` simulates it, after minutes of compiling.)
# %% [ja]
# ## ハードウェアとソフトウェア
#
# 回路は CIFAR-10 のときと同じで、パラメータだけが違います。1 枚あたりのサイクル数も同じです（`runtime="sim"` でシミュレーションできますが、コンパイルに
# 数分かかります）。
# %%
cycles = build(clf.model.program, folding.original(clf.model.program)).cycles
clf.classify([sign] * 200)
times = {"circuit, 100 MHz": cycles / 100, "this machine's CPU": clf.last_run.us_per_image}
fig, axis = plt.subplots(figsize=(8, 1.8))
axis.barh(list(times), list(times.values()))
axis.set(xlabel="us per picture")
axis.invert_yaxis()
plt.show()
