"""
Label an image like the most similar ones
=========================================

Memorise the training images; a new image gets the label of the majority of its nearest ones.
"""

import numpy as np
from common import images, save

from fastknn import Index, plot
from fastknn.voting.votes import vote

# %%
# One search finds the ten nearest training images of every test image.
data = images()
index = Index(data.train, "l2")
distances, indices = index.search(data.test, k=10)
predicted = vote(data.train_labels[indices], n_classes=10)
right = predicted == data.test_labels
print(f"{index}\nright: {right.mean():.2%} of {len(right):,}")

# %%
# One test image of each class, with its neighbors.
shown = np.array([np.flatnonzero(data.test_labels == label)[0] for label in range(10)])
names = np.array(data.names)
near = np.unique(indices[shown])
axes = plot.nearest_images(
    data.pictures(data.test[shown]),
    names[data.test_labels[shown]],
    data.pictures(data.train[near]),
    names[data.train_labels[near]],
    np.searchsorted(near, indices[shown]),
    data.shape,
)
axes[0, 0].figure.suptitle("Test images, and their ten nearest training images", fontsize=9)
save(axes[0, 0].figure, "classify_images.png")
