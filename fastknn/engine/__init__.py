"""The compiled core: blocked macro-kernels in Cython over one table of C micro-kernels per CPU."""

from importlib.util import find_spec
from pathlib import Path

if find_spec(f"{__name__}._core") is None:
    folder = Path(__file__).parents[2]
    raise ImportError(
        f"fastknn was imported from {folder}, where its extension is not built. To use it: run "
        f"pip install {folder} and start Python in another folder. To work on it: run "
        f"pip install -e {folder}"
    )
