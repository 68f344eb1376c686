# The flow of the original's notebooks, as a user of that package would have written it:
# nothing of ours but `import bnn`. Arguments: folder of pictures, CIFAR-10 file, MNIST files.
import sys
from os import listdir
from os.path import isfile, join

import numpy as np
from PIL import Image

import bnn

pictures, test_batch, mnist_images, mnist_labels = sys.argv[1:]

# CIFAR-10
print(bnn.available_params(bnn.NETWORK_CNVW1A1))
classifier = bnn.CnvClassifier(bnn.NETWORK_CNVW1A1, "cifar10", bnn.RUNTIME_SW)
print(classifier.classes)
im = Image.open(join(pictures, "deer.jpg"))
im.thumbnail((64, 64), Image.ANTIALIAS)
class_out = classifier.classify_image(im)
print("Class number: {0}".format(class_out))
print("Class name: {0}".format(classifier.class_name(class_out)))
print(classifier.classify_image_details(im))

# The same picture by all three networks
for network in [bnn.NETWORK_CNVW1A1, bnn.NETWORK_CNVW1A2, bnn.NETWORK_CNVW2A2]:
    other = bnn.CnvClassifier(network, "cifar10", bnn.RUNTIME_SW)
    print(network, other.class_name(other.classify_path(join(pictures, "deer.jpg"))))

# Test set
labels = []
with open(test_batch, "rb") as file:
    while True:
        label = file.read(1)
        if not label:
            break
        labels.append(int.from_bytes(label, byteorder="big"))
        file.read(3072)
result = classifier.classify_cifars(test_batch)
print("accuracy", np.mean(result == np.array(labels)), classifier.usecPerImage > 0)

# Road signs: whole pictures, then tiles of one
signs = bnn.CnvClassifier(bnn.NETWORK_CNVW1A1, "road-signs", bnn.RUNTIME_SW)
names = [f for f in sorted(listdir(pictures)) if isfile(join(pictures, f)) and "stop" in f]
images = [Image.open(join(pictures, f)) for f in names]
results = signs.classify_images(images)
print("Identified classes:", [signs.class_name(r) for r in results])
im = Image.open(join(pictures, "stop.jpg"))
tiles = []
bounds = []
for s in [128]:
    stride = s // 2
    for j in range(im.height // stride):
        for i in range(im.width // stride):
            bound = (stride * i, stride * j, stride * i + s, stride * j + s)
            if bound[2] <= im.width and bound[3] < im.height:
                tiles.append(im.crop(bound))
                bounds.append(bound)
results = signs.classify_images(tiles)
stop = results == 14
print("tiles", len(tiles), results.shape, stop.nonzero()[0].shape)

# MNIST
for network in [bnn.NETWORK_LFCW1A1, bnn.NETWORK_LFCW1A2]:
    lfc = bnn.LfcClassifier(network, "mnist", bnn.RUNTIME_SW)
    print("single", lfc.classify_mnist(join(pictures, "3.image-idx3-ubyte")))
    with open(mnist_labels, "rb") as file:
        file.read(8)
        wanted = np.frombuffer(file.read(), np.uint8)
    result = lfc.classify_mnists(mnist_images)
    print("accuracy", np.mean(result == wanted))
