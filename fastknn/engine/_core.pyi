"""What Python sees of the extension; what the arguments mean: `_core.pyx` and its includes."""

from collections.abc import Sequence

import numpy as np

from fastknn._utils.rows import Rows
from fastknn.metrics.keys import Keys

# Constants of kernels.h, reservoir.pxi and angles.h.
BOX_LANES: int
BYTE_SIGN: int
CODE_ZERO: int
DEPTH_LIMIT_BYTES: int
DEPTH_LIMIT_FLOATS: int
HADAMARD_MIN: int
MAX_CODE: int
MAX_PANEL_ROWS: int
MEASURES: int
MEASURES_CENTERED: int
RESERVOIR_K: int
GROUP_ROWS: int
BOX_WIDTH_MAX: int
VECTOR_BYTES: int
WHOLE_BITS: int
WHOLE_SUM_BITS: int

class Panels:
    def __init__(
        self,
        given: Rows,
        metric: str,
        scale: np.ndarray | None = None,
        error: np.ndarray | None = None,
        center: np.ndarray | None = None,
        packed: bool = True,
        numbers: np.ndarray | None = None,
    ) -> None: ...
    @property
    def n_panels(self) -> int: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def packed(self) -> bool: ...
    @property
    def panel_rows(self) -> int: ...
    @property
    def tile_queries(self) -> int: ...
    @property
    def query_bytes(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def pack(self, first: int, last: int, rows: np.ndarray | None = None) -> None: ...

class GroupBoxes:
    def __init__(
        self, lower: np.ndarray, upper: np.ndarray, metric: str, panel_rows: int
    ) -> None: ...
    def nearest(self, points: np.ndarray) -> np.ndarray: ...
    def bounds(self, points: np.ndarray) -> np.ndarray: ...
    @property
    def group_rows(self) -> int: ...
    @property
    def nbytes(self) -> int: ...

class CodeRows:
    codes: np.ndarray
    scale: np.ndarray
    error: np.ndarray
    def __init__(
        self, codes: np.ndarray, metric: str, scale: np.ndarray, error: np.ndarray
    ) -> None: ...
    @property
    def nbytes(self) -> int: ...

class Work:
    screened: int
    refined: int
    boxes_compared: int
    seconds: float
    encoding_seconds: float
    @property
    def candidates(self) -> list[int]: ...
    @property
    def stage_seconds(self) -> list[float]: ...

class QueryBlock:
    work: Work
    def __init__(
        self,
        panels: Panels,
        codes: np.ndarray,
        *,
        errors: np.ndarray | None = None,
        scale: np.ndarray | None = None,
        stages: Sequence[tuple[CodeRows, CodeRows]] = (),
        train: np.ndarray | None = None,
        exact: np.ndarray | None = None,
        angles: tuple[np.ndarray | None, ...] | None = None,
        found: Keys | None = None,
        max_key: np.ndarray | None = None,
        boxes: GroupBoxes | None = None,
        points: np.ndarray | None = None,
        point_errors: np.ndarray | None = None,
        starts: np.ndarray | None = None,
        by_number: bool = False,
        in_sequence: bool = False,
        alone: bool = False,
        resume: QueryBlock | None = None,
    ) -> None: ...
    def search(self, first: int, last: int, give_up: tuple[int, int, int] | None = None) -> int: ...
    def walk(self, first: int, max_rows: int, few_rows: int) -> tuple[int, bool]: ...
    def refine_nearest(
        self, order: np.ndarray, groups: np.ndarray, group_rows: int, n_best: int
    ) -> None: ...
    def finish(self, first: int = 0, last: int | None = None) -> None: ...
    def write_distances(self, out: np.ndarray, first: int, last: int) -> None: ...

def aligned(count: int, dtype: np.dtype | type) -> np.ndarray: ...
def angle_distances(keys: np.ndarray, low: np.ndarray) -> None: ...
def cpu_level() -> str: ...
def cpu_levels() -> list[str]: ...
def group_sums(
    rows: np.ndarray, order: np.ndarray, ends: np.ndarray, signs: np.ndarray, out: np.ndarray
) -> None: ...
def group_boxes(
    values: np.ndarray, errors: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> None: ...
def hadamard_rounds(
    rows: np.ndarray, order: np.ndarray, signs: np.ndarray, block: int, out: np.ndarray
) -> None: ...
def measure(
    rows: np.ndarray,
    measures: np.ndarray,
    center: bool,
    bits: int,
    high: np.ndarray | None = None,
    low: np.ndarray | None = None,
) -> None: ...
def merge(into: Keys, other: Keys) -> None: ...
def order_rows(values: np.ndarray, numbers: np.ndarray, once: bool = False) -> int: ...
def quantize(
    values: np.ndarray,
    slack: np.ndarray,
    smallest: float,
    codes: np.ndarray,
    scale: np.ndarray,
    missed: np.ndarray,
    largest: np.ndarray,
) -> None: ...
def image(
    rows: np.ndarray,
    mean: np.ndarray,
    largest: float,
    factor: float,
    least: float,
    directions: np.ndarray | None = None,
    order: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]: ...
def reservoir_bytes(k: int, n_rows: int, angles: bool) -> int: ...
def topk(distances: np.ndarray, values: np.ndarray, indices: np.ndarray) -> int: ...
