"""
Why distances on pixels mislead
===============================

Three copies of an image that look quite different lie at the same L2 distance from it.
"""

import numpy as np
from common import images, save
from matplotlib import pyplot

# %%
# Each change has a strength; bisection finds the one that lies as far away as the others.
data = images(200, 1)
original = data.picture(data.train[int(np.argmax(data.train.astype(float).std(axis=1)))])
height, width = original.shape[:2]


def distance(copy: np.ndarray) -> float:
    return float(np.linalg.norm(copy.astype(float) - original.astype(float)))


def strongest(change, wanted: float) -> np.ndarray:
    """The change, of a strength between 0 and 1 found by bisection, that lies so far away."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if distance(change(middle)) < wanted else (low, middle)
    return change(high)


def boxed(strength: float) -> np.ndarray:
    copy = original.astype(float)
    box = np.s_[height // 3 : height * 2 // 3, width // 4 : width * 3 // 4]
    copy[box] = copy[box] * (1 - strength)
    return copy


def tinted(strength: float) -> np.ndarray:
    copy = original.astype(float)
    tint = np.array([0, 60, 255.0]) if copy.ndim == 3 else 255.0
    return copy * (1 - strength) + tint * strength


def shifted(strength: float) -> np.ndarray:
    moved = np.roll(original.astype(float), 1, axis=1)
    return original * (1 - strength) + moved * strength


# %%
# The distance is the same, and what one sees is not.
reach = min(distance(change(1.0)) for change in (boxed, tinted, shifted)) * 0.98
figure, axes = pyplot.subplots(1, 4, figsize=(9, 2.7), layout="constrained")
copies = {
    "original": original,
    "boxed": strongest(boxed, reach),
    "shifted by a pixel": strongest(shifted, reach),
    "tinted": strongest(tinted, reach),
}
for ax, (name, copy) in zip(axes, copies.items(), strict=True):
    gray = {"cmap": "gray_r", "vmin": 0, "vmax": 255} if copy.ndim == 2 else {}
    ax.imshow(np.clip(copy, 0, 255).astype(np.uint8), **gray)
    ax.set(title=f"{name}\nL2 distance {distance(copy):,.0f}", xticks=[], yticks=[])
    print(f"{name}: {distance(copy):.1f}")
save(figure, "pixel_distances.png")
