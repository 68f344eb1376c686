# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 9: a camera and handwritten digits
#
# The original's notebook LFC-BNN_MNIST_Webcam: a digit on paper before a camera. Where there is a camera and OpenCV (`pip install '.[camera]'`), a frame is taken; else
# a photo that is made here. The original's steps (sharpen, threshold, crop, centre, shrink) are part of the model: `bnn.Classifier` takes the photo as it is.
# %% [ja]
# # BNN-PYNQ をもう一度 9：カメラと手書き数字
#
# 元のノートブック LFC-BNN_MNIST_Webcam では、紙に書いた数字をカメラで撮って認識しました。カメラと OpenCV（`pip install '.[camera]'`）があればカメラから 1 枚取り込み、
# なければここで写真のような画像を作ります。元のノートブックが行った処理（鮮鋭化、二値化、切り抜き、中央合わせ、縮小）はモデルに含まれているので、
# `bnn.Classifier` には写真をそのまま渡せます。
# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import bnn
from bnn.errors import DataError
from bnn.model.batch import as_batch

samples = Path(bnn.__file__).parent / "samples" / "mnist"
CAMERA = 0
luck = np.random.default_rng(1)
# %% [en]
# ## A photo
#
# What stands in for the camera: a sample as blue ink on paper that is darker at one side, with noise.
# %% [ja]
# ## 写真
#
# カメラの代わりの画像です。付属の数字を、青いインクで、片側が暗い紙の上に描き、雑音を加えます。
# %%


def photo(digit):
    """A digit as a camera sees it: ink on paper, in uneven light, uint8 (480, 640, 3)."""
    ink = Image.open(samples / f"{digit}.png").resize((224, 224), Image.Resampling.BICUBIC)
    cover = np.zeros((480, 640, 1))
    cover[128:352, 208:432, 0] = np.asarray(ink) / 255
    light = np.linspace(1, 0.8, 640)[None, :, None]
    paper, pen = np.array((235, 232, 220)), np.array((40, 60, 150))
    colours = (paper * (1 - cover) + pen * cover) * light + luck.normal(0, 3, (480, 640, 3))
    return np.clip(colours, 0, 255).astype(np.uint8)


def frame_of(number):
    """A frame of the camera, red first; None where there is no camera or no OpenCV."""
    try:
        import cv2
    except ImportError:
        return None
    camera = cv2.VideoCapture(number)
    try:
        there, frame = camera.read() if camera.isOpened() else (False, None)
    finally:
        camera.release()
    return np.ascontiguousarray(frame[..., ::-1]) if there else None


frame = frame_of(CAMERA)
print(
    "a photo that was made here, because there is no camera"
    if frame is None
    else "a frame of the camera"
)
pictures = [photo(digit) for digit in range(10)] if frame is None else [frame]
# %% [en]
# ## What the network sees
#
# Above the photo, below the 28x28 pixels that the model's preparation makes of it (`as_batch`); the title is the class. White pixels become +1, black ones -1.
# In other light or size the 2 and the 7 are sometimes mistaken: the network was trained on MNIST's own scans only.
# %% [ja]
# ## ネットワークが見るもの
#
# 上が写真、下がモデルの前処理（`as_batch`）で得られる 28x28 の画素です。見出しは認識された数字です。白い画素は +1、黒い画素は -1 になります。
# 明るさや大きさを変えると、2 や 7 を間違えることがあります。このネットワークが学習したのは MNIST の画像だけだからです。
# %%
clf = bnn.Classifier("lfc-w1a1")
fig, axes = plt.subplots(2, len(pictures), figsize=(13, 3), squeeze=False)
found = []
for column, picture in zip(axes.T, pictures, strict=True):
    column[0].imshow(picture)
    try:
        column[1].imshow(as_batch(clf.model, [picture])[0].reshape(28, 28), cmap="gray")
        found.append(int(clf.classify([picture])[0]))
        column[0].set_title(clf.classes[found[-1]])
    except DataError as reason:  # a frame without a digit
        print(reason)
    for axis in column:
        axis.axis("off")
plt.show()
# %%
if frame is None:
    assert sum(np.array(found) == np.arange(10)) >= 8
# %% [en]
# ## One and two bits
# %% [ja]
# ## 1 ビットと 2 ビット
# %%
picture = photo(4)
fig, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True)
for axis, name in zip(axes, ("lfc-w1a1", "lfc-w1a2"), strict=True):
    axis.bar(range(10), 100 * bnn.Classifier(name).probabilities([picture])[0])
    axis.set(title=name, xlabel="class", ylabel="probability, %", xticks=range(10))
plt.show()
# %% [en]
# ## An empty sheet
#
# Where there is no stroke there is no answer: the preparation refuses the picture and says why.
# %% [ja]
# ## 何も書かれていない紙
#
# 線がなければ答えもありません。前処理が理由を示してエラーになります。
# %%
empty = np.full((480, 640, 3), 230, np.uint8)
try:
    clf.classify([empty])
except DataError as reason:
    print("refused:", reason)
