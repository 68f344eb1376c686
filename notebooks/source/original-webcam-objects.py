# SPDX-License-Identifier: BSD-3-Clause
# %% [en]
# # BNN-PYNQ again, 8: a camera and CIFAR-10
#
# The original's notebook CNV-QNN_Cifar10_Webcam: a frame of a USB camera on three networks. Where there is a camera and OpenCV (`pip install '.[camera]'`), a frame is taken;
# else a stored picture takes its place. `bnn watch cnv-w2a2 0` does this in the terminal for every frame, `bnn web` in the browser.
# %% [ja]
# # BNN-PYNQ をもう一度 8：カメラと CIFAR-10
#
# 元のノートブック CNV-QNN_Cifar10_Webcam では、USB カメラの映像 1 枚を三つのネットワークで分類しました。カメラと OpenCV（`pip install '.[camera]'`）があればカメラから
# 1 枚取り込み、なければ保存してある画像を使います。`bnn watch cnv-w2a2 0` は同じことを端末で、`bnn web` はブラウザで、映像の全フレームに対して行います。
# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageFilter

import bnn
from bnn.model.batch import as_batch

samples = Path(bnn.__file__).parent / "samples" / "cifar10"
CAMERA = 0
# %% [en]
# ## A frame
# %% [ja]
# ## 映像から 1 枚
# %%


def stored_frame():
    """A picture of 640x480 with a frog in the middle: what stands in for a camera."""
    frog = Image.open(samples / "Frog.png").resize((480, 480), Image.Resampling.BICUBIC)
    wall = frog.resize((640, 480)).filter(ImageFilter.GaussianBlur(60))
    wall.paste(frog, (80, 0))
    return np.asarray(wall)


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
print("a stored picture, because there is no camera" if frame is None else "a frame of the camera")
if frame is None:
    frame = stored_frame()
side = min(frame.shape[:2])
top, left = ((size - side) // 2 for size in frame.shape[:2])
square = frame[top : top + side, left : left + side]
# %% [en]
# ## What the network sees
#
# The middle square, scaled to 32x32, by the rule that is stored in the model.
# %% [ja]
# ## ネットワークが見るもの
#
# 中央の正方形を 32x32 に縮小したものです。縮小の方法はモデルに記録されています。
# %%
classifiers = {name: bnn.Classifier(name) for name in ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2")}
seen = as_batch(classifiers["cnv-w1a1"].model, [square])[0]
fig, axes = plt.subplots(1, 3, figsize=(9, 3))
for axis, picture, title in zip(
    axes, (frame, square, seen), ("frame", "middle square", "32x32"), strict=True
):
    axis.imshow(picture)
    axis.set_title(title)
    axis.axis("off")
plt.show()
# %% [en]
# ## Three networks
# %% [ja]
# ## 三つのネットワーク
# %%
fig, axes = plt.subplots(1, 3, figsize=(13, 3.2))
for axis, (name, clf) in zip(axes, classifiers.items(), strict=True):
    axis.barh(clf.classes, 100 * clf.probabilities([square])[0])
    axis.set(
        title=f"{name}, {clf.last_run.us_per_image:.0f} us", xlabel="probability, %", xlim=(0, 100)
    )
    axis.invert_yaxis()
fig.tight_layout()
plt.show()
# %% [en]
# ## When it is none of the ten
#
# A network always names one of its classes. With `reject=` what is not likely enough becomes "unknown". Here: the frame, and noise.
# %% [ja]
# ## 10 クラスのどれでもないとき
#
# ネットワークは、何を見せても自分のクラスのどれかを答えます。`reject=` を指定すると、確率の低いものは「不明」（unknown）になります。ここでは映像と雑音で試します。
# %%
careful = bnn.Classifier("cnv-w2a2", reject=0.8)
noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
pictures = [square, noise]
fig, axes = plt.subplots(1, 2, figsize=(6, 3))
for axis, picture, found in zip(axes, pictures, careful.classify(pictures), strict=True):
    axis.imshow(picture)
    axis.set_title(careful.classes[found])
    axis.axis("off")
plt.show()
