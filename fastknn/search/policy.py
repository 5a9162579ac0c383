"""The policy: every decision of which search runs, in one table.

A search is exact whatever is decided here; only its time and memory differ. `RULES` is the table.
It is read from top to bottom, and the first rule that applies to what is known (`Known`) decides:

    when     who asks                                   what may be chosen
    INDEX    `Index`, when it is built, and again       no screen, the direct screen, groups, groups
             as queries come (`growth.py`)              if they are "promising", or "auto": a trial
                                                        on a sample chooses
    GROUPS   the trial, for rows in groups              how they are compared: by differences, as
                                                        codes ("quantized"), either of them by
                                                        trial, or as without groups ("auto")
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

__all__ = ["GROUPS", "INDEX", "LIMITS", "RULES", "SEARCH", "Known", "Limits", "Rule", "choose"]


class Limits(NamedTuple):
    """The constants of the policy."""

    # Up to this width groups always pay, whatever the data: no trial is needed.
    grouped_width: int = 5
    # Rows in groups are compared by differences up to this width, by differences or as codes up to
    # the next, as the trial says, and as codes above (200,000 rows, AVX2, L2: 8 Gaussian columns
    # take 38 us by differences and 24 us as codes, 8 columns of a random walk 2.1 us and 2.3 us;
    # 50 columns of clusters 40 us and 33 us). From the width on in which there are projections, as
    # the trial says without groups.
    differences_width: int = 7
    either_width: int = 31
    projected_width: int = 62
    # What grouping all rows takes, in seconds: in all, per row and per element; and what it takes
    # to see on a sample whether that is promising: in all and per element.
    group_seconds: float = 1.5e-3
    group_seconds_per_row: float = 2.5e-7
    group_seconds_per_element: float = 2e-8
    look_seconds: float = 3e-3
    look_seconds_per_element: float = 4e-8
    looked_rows: int = 8192
    # What a query takes in groups if few are within reach, whatever the number of rows: in all and
    # per feature, of which groups take no more account.
    grouped_query_seconds: float = 1.2e-6
    grouped_query_seconds_per_feature: float = 0.6e-6
    grouped_query_features: int = 6
    # Packing all rows takes as long as it saves this number of queries, whatever the width.
    packed_queries: int = 6
    # Training sets with fewer elements get no cascade: a query takes some ten microseconds.
    small_elements: int = 1 << 19
    # What the choice and the building of a screen take, in seconds: in all, per feature and per
    # element of the rows (the benchmark `test_fit`).
    fit_seconds: float = 0.05
    fit_seconds_per_feature: float = 0.7e-3
    fit_seconds_per_element: float = 3e-9
    # What a query takes at least in the direct screen, for its first candidates; the elements that
    # it compares per second and thread, and how many of them a row costs besides its own (AVX2, L2:
    # 2 columns take 0.4 ns per row, 8 take 0.6 and 64 take 1.7); the share of that time which a
    # screen saves (`test_search_*`).
    direct_query_seconds: float = 2e-6
    byte_rate: float = 2.1e11
    float_rate_l1: float = 2.7e10
    float_rate_l2: float = 5e10
    row_elements: int = 18
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
    # Queries that are expected, or came so far. Infinite: as many as any choice needs to pay.
    n_queries: float = math.inf
    n_threads: int = 1
    # What a query took so far in the direct screen, on one thread; None if that is not known.
    direct_seconds: float | None = None

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


def _are_bytes(known: Known) -> bool:
    """Whether rows are compared as bytes, exactly."""
    return known.dtype.itemsize == 1 and known.metric not in ANGLES


def _direct_seconds(known: Known, limits: Limits) -> float:
    """What a query takes that is compared with all rows."""
    if known.direct_seconds is not None:
        return known.direct_seconds / known.n_threads
    if _are_bytes(known):
        rate = limits.byte_rate
    elif kernel_metric(known.metric) == "l1":
        rate = limits.float_rate_l1
    else:
        rate = limits.float_rate_l2
    seconds = known.n_rows * (known.width + limits.row_elements) / rate
    return (limits.direct_query_seconds + seconds) / known.n_threads


def _screen_pays(known: Known, limits: Limits) -> bool:
    """Whether the queries save more time than the choice of a screen takes."""
    if known.n_elements < limits.small_elements:
        return False
    cost = (
        limits.fit_seconds
        + limits.fit_seconds_per_feature * known.width
        + limits.fit_seconds_per_element * known.n_elements
    )
    return limits.saved_share * known.n_queries * _direct_seconds(known, limits) > cost


def _groups_pay(known: Known, limits: Limits, looking: float = 0.0) -> bool:
    """Whether the queries save more time than grouping the rows takes, if few are within reach."""
    cost = (
        limits.group_seconds
        + limits.group_seconds_per_row * known.n_rows
        + limits.group_seconds_per_element * known.n_elements
    )
    features = min(known.width, limits.grouped_query_features)
    seconds = limits.grouped_query_seconds + limits.grouped_query_seconds_per_feature * features
    saved = _direct_seconds(known, limits) - seconds / known.n_threads
    return saved > 0 and known.n_queries * saved > cost + looking


def _looking_pays(known: Known, limits: Limits) -> bool:
    """The same, if it has to be seen first whether few are within reach."""
    looked = min(known.n_rows, limits.looked_rows) * known.width
    looking = limits.look_seconds + limits.look_seconds_per_element * looked
    return known.width < limits.projected_width and _groups_pay(known, limits, looking)


INDEX, GROUPS, SEARCH = "index", "groups", "search"

RULES = (
    Rule(
        INDEX,
        "none",
        lambda known, limits: known.n_queries < limits.packed_queries,
        "packing the rows takes longer than it saves for so few queries",
    ),
    Rule(
        INDEX,
        "grouped",
        lambda known, limits: known.width <= limits.grouped_width and _groups_pay(known, limits),
        "groups of rows are left out wherever there are so few features",
    ),
    Rule(INDEX, "auto", _screen_pays, "so many queries pay for the choice of a screen"),
    Rule(
        INDEX,
        "promising",
        _looking_pays,
        "on a sample, groups leave too many rows",
    ),
    Rule(
        INDEX,
        "direct",
        lambda known, limits: known.n_elements < limits.small_elements,
        "too small for any other to pay",
    ),
    Rule(
        INDEX,
        "direct",
        lambda known, limits: True,
        "too few queries to pay for the choice of a screen",
    ),
    Rule(
        GROUPS,
        "auto",
        lambda known, limits: known.width >= limits.projected_width,
        "groups leave rows that may be projected",
    ),
    Rule(
        GROUPS,
        "differences",
        lambda known, limits: known.width <= limits.differences_width or _are_bytes(known),
        "narrow rows are compared at once, and bytes exactly",
    ),
    Rule(
        GROUPS,
        "either",
        lambda known, limits: known.width <= limits.either_width,
        "codes take less memory than the rows, and pay if many groups are left",
    ),
    Rule(GROUPS, "quantized", lambda known, limits: True, "codes take less memory than the rows"),
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
        `INDEX`, `GROUPS` or `SEARCH`.
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


def near_rows_pay(code_width: int, width: int) -> bool:
    """Whether a cascade should look for near rows before it compares all (`screens/near.py`).

    They take some 12 us per query and thread, and save most of the candidates that a search has
    because its thresholds are still high: that pays where a first stage leaves many (MNIST, 64
    directions of 784 features: 272 instead of 612 candidates, 28 instead of 39 us). Codes as wide
    as the rows leave few: 100,000 x 384 embeddings take 115 us instead of 97.
    """
    return code_width < width


def may_fall_back(has_fallback: bool, on_disk: bool) -> bool:
    """Whether a search may go to the fallback, which packs all rows in memory."""
    return has_fallback and not on_disk
