"""Early thresholds: near rows of each query, before it is compared with all.

A screen keeps most of the first rows, whatever they are: the k-th distance is not known yet. The
k-th key among some rows bounds that among all, and the nearer these rows, the better. They are
found by the codes of the first stage alone: rows are in the order of groups
(`engine/ordering.pxi`), and of the groups whose centers are nearest to the query, those rows are
taken whose codes are nearest. Which they are decides only how long a search takes.
"""

import math
from typing import NamedTuple

import numpy as np

from fastknn._utils.rows import BLOCK_ELEMENTS, InBlocks, row_slices
from fastknn._utils.threads import for_each
from fastknn.engine import _core
from fastknn.metrics.keys import no_keys
from fastknn.screens.grouping import ordered
from fastknn.screens.maps import Product
from fastknn.screens.proposals import principal_directions, sample_places


class Reach(NamedTuple):
    """How far is looked for near rows."""

    # Rows of a group: whole panels of any level.
    group_rows: int = 2 * _core.MAX_PANEL_ROWS
    # Groups that are looked at per query, at least; and their rows, for each neighbor.
    fewest_groups: int = 5
    rows_per_neighbor: int = 8
    # Of those, the rows that are refined for each neighbor. CIFAR-10, L2, k=10: of 50,000 rows a
    # query leaves 497 without near rows, 279 with 4 groups, 249 with 16, and 212 from the k-th
    # distance on.
    refined_per_neighbor: float = 1.5
    # Below this number of queries the calls take longer than what they save.
    fewest_queries: int = 8
    # There must be this number of groups for each that is looked at.
    groups_per_group: int = 4
    # Directions along which groups are split.
    n_directions: int = 32


REACH = Reach()


class NearRows:
    """The codes of a first stage in groups, and the centers of these.

    Parameters
    ----------
    codes : CodeRows
        Of all training rows.
    metric : "l1" or "l2"
    n_threads : int
    """

    def __init__(self, codes: "_core.CodeRows", metric: str, n_threads: int) -> None:
        self.group_rows = REACH.group_rows
        (n_rows, width), dtype = codes.codes.shape, codes.codes.dtype
        step = max(1, BLOCK_ELEMENTS // width)
        step += -step % self.group_rows
        blocks = list(row_slices(n_rows, step))
        self._numbers = _grouped(codes, blocks, n_threads)
        self.panels = _core.Panels(
            InBlocks(self._numbers, lambda some: codes.codes[some], width, dtype),
            metric,
            codes.scale[self._numbers],
            codes.error[self._numbers],
            numbers=self._numbers,
        )
        centers = np.empty((-(-n_rows // self.group_rows), width), np.float32)

        def pack(block: slice) -> None:
            rows = self._numbers[block]
            some, starts = codes.codes[rows], np.arange(0, len(rows), self.group_rows)
            sums = np.add.reduceat(_values(some, codes.scale[rows]), starts)
            sums /= np.diff(starts, append=len(rows))[:, None]
            centers[block.start // self.group_rows :][: len(starts)] = sums
            panels = [place // self.panels.panel_rows for place in (block.start, block.stop - 1)]
            self.panels.pack(panels[0], panels[1] + 1, some)

        for_each(pack, blocks, n_threads)
        self._squares = np.einsum("ij,ij->i", centers, centers)
        self._centers = Product(-2 * centers.T)

    @property
    def nbytes(self) -> int:
        """Bytes held besides the codes."""
        return self.panels.nbytes + self._numbers.nbytes + self._centers.matrix.nbytes

    def thresholds(self, encoded: dict, k: int, metric: str) -> np.ndarray | None:
        """Keys that the k-th of each query does not exceed, from its near rows; None if unknown.

        Parameters
        ----------
        encoded : dict
            Arguments of `_core.QueryBlock` about the queries.
        k : int
        metric : str
            Of the index.

        Returns
        -------
        ndarray (n_queries,) of float64, or None
            Infinite where unknown.
        """
        n_queries = len(encoded["codes"])
        n_groups = max(REACH.fewest_groups, -(-k * REACH.rows_per_neighbor // self.group_rows))
        too_few = n_groups * REACH.groups_per_group > len(self._squares)
        if too_few or n_queries < REACH.fewest_queries:
            return None
        found = no_keys(n_queries, k, metric)
        encoded = {**encoded, "stages": (), "by_number": True}
        block = _core.QueryBlock(self.panels, **encoded, alone=True, found=found)
        groups = self._nearest(encoded["codes"], encoded["scale"], n_groups)
        order = np.argsort(groups[:, 0])
        n_refined = math.ceil(REACH.refined_per_neighbor * k)
        block.refine_nearest(order, groups, self.group_rows, n_refined)
        return found.keys[:, 0].copy()

    def _nearest(self, codes: np.ndarray, scale: np.ndarray, n_groups: int) -> np.ndarray:
        """The groups whose centers are nearest to some queries, ndarray (n, n_groups) of int64."""
        groups = np.zeros((len(codes), n_groups), np.int64)
        step = max(1, BLOCK_ELEMENTS // len(self._squares))
        for start in range(0, len(codes), step):
            some = slice(start, start + step)
            distances = self._centers(_values(codes[some], scale[some])) + self._squares
            _core.topk(distances, np.empty((len(distances), n_groups)), groups[some])
        return groups


def _grouped(codes: "_core.CodeRows", blocks: list[slice], n_threads: int) -> np.ndarray:
    """The rows in the order of groups: ndarray (n_rows,) of int64."""
    generator, n_rows = np.random.default_rng(0), len(codes.codes)
    places = sample_places(n_rows, generator)
    sample = _values(codes.codes[places], codes.scale[places])
    n_directions = min(REACH.n_directions, *sample.shape)
    along = Product(principal_directions(sample - sample.mean(axis=0), n_directions, generator))
    points = np.empty((n_rows, n_directions), np.float32)

    def project(block: slice) -> None:
        points[block] = along(_values(codes.codes[block], codes.scale[block]))

    for_each(project, blocks, n_threads)
    return ordered(points, n_threads)


def _values(codes: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """What some codes stand for, in float32."""
    values = codes.astype(np.float32)
    values -= _core.CODE_ZERO
    values *= scale[:, None]
    return values
