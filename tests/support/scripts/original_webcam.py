# The cells of the original's LFC-BNN_MNIST_Webcam that prepare a photo and classify it, as a
# user of that package wrote them; only the paths and the camera are left out.
# Arguments: the photo, a file to write, and the filter that `resize` is given (none: its default).
import sys
from array import array

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

import bnn

photo, processed, *given = sys.argv[1:]
more = {"resample": getattr(Image, given[0])} if given else {}

img = Image.open(photo).convert("L")
img = ImageEnhance.Contrast(img).enhance(3)
img = ImageEnhance.Brightness(img).enhance(4.0)
img = ImageOps.expand(img, border=80, fill="white")
img = img.crop(ImageOps.invert(img).getbbox())

width, height = img.size
ratio = min(28.0 / height, 28.0 / width)
background = Image.new("RGB", (28, 28), (255, 255, 255))
if height == width:
    background = img.resize((28, 28), **more).convert("RGB")
else:
    size = (int(width * ratio), 28) if height > width else (28, int(height * ratio))
    img = img.resize(size, **more)
    background.paste(img, (int((28 - img.size[0]) / 2), int((28 - img.size[1]) / 2)))

smallimg = ImageOps.invert(Image.fromarray(np.asarray(background)[:, :, 0]))
pixel = smallimg.load()
data_image = array("B")
for x in range(28):
    for y in range(28):
        data_image.append(255 if pixel[y, x] == 255 else 1)

header = array("B", [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28])
with open(processed, "wb") as file:
    (header + data_image).tofile(file)

classifier = bnn.LfcClassifier(bnn.NETWORK_LFCW1A1, "mnist", bnn.RUNTIME_SW)
print("class", classifier.class_name(classifier.classify_mnist(processed)))
