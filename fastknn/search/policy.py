"""The policy: every decision of which search runs, in one table.

A search is exact whatever is decided here; only its time and memory differ. `RULES` is the table.
It is read from top to bottom, and the first rule that applies to what is known (`Known`) decides:

    when     who asks                                   what may be chosen
    FIT      the estimators, when they are fitted       scikit-learn's tree, or fastknn
    INDEX    `Index`, `knn`, `ground_truth`; and at     no screen, the direct screen, or "auto":
             each search the estimators                 a trial on a sample chooses
    SEARCH   `Index.search`, for its k                  the index's screen, or its fallback
    WITHIN   the engine, after each panel (`give_up`)   to go on, or to go to the fallback

The trial itself is in `trial.py`. The fallback is the direct screen; the fallback of the direct
screen of floats under L2, which compares expanded squares, compares differences. A fallback packs
all rows, so there is none where the rows stay on disk (`may_fall_back`).

The constants are fields of `Limits`, each with the measurement behind it. They were measured on two
cores with AVX-512 unless they say otherwise.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastknn.metrics.names import ANGLES, kernel_metric

__all__ = ["FIT", "INDEX", "LIMITS", "RULES", "SEARCH", "Known", "Limits", "Rule", "choose"]


class Limits(NamedTuple):
    """The constants of the policy."""

    # Up to this width scikit-learn's tree is quicker than any scan: at 100,000 rows it takes 2 us
    # per query in two dimensions, where a scan takes 38 us; in six dimensions 50 us and 16 us.
    tree_width: int = 5
    # Packing all rows takes as long as it saves this number of queries, whatever the width.
    packed_queries: int = 6
    # Training sets with fewer elements are searched directly: a query takes some ten microseconds.
    small_elements: int = 1 << 19
    # What the choice and the building of a screen take, in seconds: in all, per feature and per
    # element of the rows (the benchmark `test_fit`).
    fit_seconds: float = 0.05
    fit_seconds_per_feature: float = 0.7e-3
    fit_seconds_per_element: float = 3e-9
    # Elements that the direct screen compares per second and thread, and the share of its time
    # that a screen saves (`test_search_*`).
    byte_rate: float = 2.1e11
    float_rate_l1: float = 2.7e10
    float_rate_l2: float = 5e10
    saved_share: float = 0.8
    # Rows per neighbor below which no screen pays: it keeps nearly all of the first rows.
    rows_per_neighbor: int = 16
    # Rows after which the engine asks whether a cascade still pays, and the rows per neighbor
    # before which it does not ask: most of the first rows are candidates of any screen.
    window_rows: int = 256
    early_rows_per_neighbor: int = 16
    # Groups of rows are left out while the groups within reach of a query have fewer rows than this
    # share of all, one of so many: their rows are compared with one query at a time.
    grouped_share: int = 4
    # A byte that is read row by row takes as long as this number of bytes in a direct tile.
    row_by_row: int = 4

    @property
    def give_up(self) -> tuple[int, int, int]:
        """What the engine needs to know for `WITHIN` (`QueryBlock.search`)."""
        return self.window_rows, self.early_rows_per_neighbor, self.row_by_row


LIMITS = Limits()


class Known(NamedTuple):
    """What is known when a decision is made."""

    n_rows: int
    width: int
    dtype: np.dtype
    metric: str
    k: int = 1
    # Queries that are expected, or were seen so far. Infinite: as many as any choice needs to pay.
    n_queries: float = math.inf
    n_threads: int = 1

    @classmethod
    def of(cls, train: np.ndarray, metric: str, **more) -> "Known":
        """What is known of some training rows."""
        n_rows, width = train.shape
        return cls(n_rows, width, train.dtype, metric, **more)

    @property
    def n_elements(self) -> int:
        return self.n_rows * self.width


class Rule(NamedTuple):
    """One row of the table."""

    when: str
    choice: str
    applies: Callable[[Known, Limits], bool]
    why: str


def _screen_pays(known: Known, limits: Limits) -> bool:
    """Whether the queries save more time than the choice of a screen takes."""
    cost = (
        limits.fit_seconds
        + limits.fit_seconds_per_feature * known.width
        + limits.fit_seconds_per_element * known.n_elements
    )
    if known.dtype.itemsize == 1 and known.metric not in ANGLES:
        rate = limits.byte_rate
    elif kernel_metric(known.metric) == "l1":
        rate = limits.float_rate_l1
    else:
        rate = limits.float_rate_l2
    per_query = known.n_elements / (rate * known.n_threads)
    return limits.saved_share * known.n_queries * per_query > cost


FIT, INDEX, SEARCH = "fit", "index", "search"

RULES = (
    Rule(
        FIT,
        "tree",
        lambda known, limits: known.width <= limits.tree_width,
        "a tree is quicker than any scan for so few features",
    ),
    Rule(FIT, "fastknn", lambda known, limits: True, "a scan is quicker than a tree"),
    Rule(
        INDEX,
        "none",
        lambda known, limits: known.n_queries < limits.packed_queries,
        "packing the rows takes longer than it saves for so few queries",
    ),
    Rule(
        INDEX,
        "direct",
        lambda known, limits: known.n_elements < limits.small_elements,
        "too small for any other to pay",
    ),
    Rule(INDEX, "auto", _screen_pays, "so many queries pay for the choice of a screen"),
    Rule(
        INDEX,
        "direct",
        lambda known, limits: True,
        "too few queries to pay for the choice of a screen",
    ),
    Rule(
        SEARCH,
        "fallback",
        lambda known, limits: known.k * limits.rows_per_neighbor > known.n_rows,
        "a screen keeps most rows where so many neighbors are wanted",
    ),
    Rule(SEARCH, "screen", lambda known, limits: True, "the index's own screen rules out rows"),
)


def choose(when: str, known: Known) -> Rule:
    """The first rule of this moment that applies.

    Parameters
    ----------
    when : str
        `FIT`, `INDEX` or `SEARCH`.
    known : Known

    Returns
    -------
    Rule

    Examples
    --------
    >>> import numpy as np
    >>> from fastknn.search.policy import INDEX, Known, choose
    >>> rows = Known(50_000, 3072, np.dtype(np.uint8), "l2", n_threads=2)
    >>> [choose(INDEX, rows._replace(n_queries=n)).choice for n in (5, 500, 50_000)]
    ['none', 'direct', 'auto']
    """
    return next(rule for rule in RULES if rule.when == when and rule.applies(known, LIMITS))


def may_fall_back(has_fallback: bool, on_disk: bool) -> bool:
    """Whether a search may go to the fallback, which packs all rows in memory."""
    return has_fallback and not on_disk
