"""How sphinx-gallery runs the examples."""

import tempfile

# As a reader would go through them.
ORDER = (
    "classify_images",
    "why_more_than_one",
    "choose_k",
    "cost",
    "cascade",
    "pixel_distances",
    "curse_of_dimensionality",
    "linear_classifier",
)


def arguments(gallery_conf: dict, script_vars: dict) -> list[str]:
    """The folder that an example writes its pictures to; the gallery takes them from memory."""
    return [tempfile.gettempdir()]


def order(filename: str) -> int:
    """The place of an example."""
    return ORDER.index(filename.removesuffix(".py"))
