# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The engine: blocked macro-kernels over one table of C micro-kernels per CPU level.

`Panels` are the training rows or their codes, packed once; a `QueryBlock` is some queries, packed
once, with the best rows found for each. `QueryBlock.search` walks over panels (outer loop) and
tiles of queries (inner loop): the block stays in the L2 cache, and a panel is read from memory
once per block. Nothing here checks its arguments: `search/searcher.py` hands over arrays that are
already sound.

This file is what Python sees. It includes the following modules, each of which uses only those
before it:

    kernels      the table of micro-kernels, and the level in use
    layout       the structures that all others work on
    packing      rows and queries in the lanes of tiles
    heap         the k best rows in a binary heap
    reservoir    the k best rows in a reservoir, for large k
    keep         the one interface of both: what is kept of the candidates
    angles       exact keys of angles
    bounds       scores of tiles, thresholds with their slack, later stages
    candidates   which rows are candidates, and their exact keys
    search       the walk: panels, candidates, keeper
    early        thresholds from the scores of the first panels
    groups       the walk that leaves out whole groups of rows
    near         near rows before the walk, whose keys bound that of the k-th
    ordering     the order of rows in which groups of them lie close together
    matrices     the walk that writes all distances
    topk         the k smallest entries of a given matrix
    maps         what the non-expansive maps of screens need

Limit: one tile costs ``width / group`` steps of `queries * rows` lanes each; the select after
it costs one load, add and compare per row (L2 codes: four operations on registers), and candidates
are rare once the k best are known roughly.
"""

import os
from time import perf_counter

import numpy as np

from libc.float cimport FLT_MAX
from libc.math cimport INFINITY, NAN, ceil, fabs, floor, sqrt
from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, int8_t, int16_t, int32_t, int64_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc

include "kernels.pxi"
include "layout.pxi"
include "packing.pxi"
include "heap.pxi"
include "reservoir.pxi"
include "keep.pxi"
include "angles.pxi"
include "bounds.pxi"
include "candidates.pxi"
include "search.pxi"
include "early.pxi"
include "groups.pxi"
include "near.pxi"
include "ordering.pxi"
include "matrices.pxi"
include "topk.pxi"
include "maps.pxi"

SCORE_DTYPES = [np.int32, np.float32, np.float64]
ELEMENTS = {
    np.dtype(np.uint8): U8,
    np.dtype(np.float32): F32,
    np.dtype(np.float64): F64,
    np.dtype(np.int8): S8,
}
METRICS = {"l1": L1, "l2": L2, "dot": DOT}


cdef Matrix as_matrix(array, metric):
    """Describe the rows of an array, or of an object that has only their shape and type."""
    cdef Matrix matrix
    matrix.data, matrix.stride = NULL, 0
    if isinstance(array, np.ndarray):
        matrix.data = address(array)
        matrix.stride = array.strides[0]
    matrix.width = array.shape[1]
    matrix.item = array.dtype.itemsize
    matrix.element = ELEMENTS[array.dtype]
    matrix.metric = METRICS[metric]
    return matrix


cdef Best lists_of(found):
    """Return pointers to the arrays of some `Keys`, which the caller keeps alive."""
    cdef Best every
    every.keys = <double *>address(found.keys)
    every.low = NULL if found.low is None else <uint64_t *>address(found.low)
    every.rows = <int64_t *>address(found.rows)
    return every


cdef class Panels:
    """Rows packed for one kind of tile (layout: `kernels/kernels.h`).

    Parameters
    ----------
    given : ndarray (n_rows, width) of uint8, float32 or float64
        Native, aligned, consecutive within a row: the training rows, or their codes. Or an object
        with their length, `shape` and `dtype`, whose rows are handed to `pack`.
    metric : "l1" or "l2"
    scale, error : ndarray (n_rows,) of float32, or None
        For codes: what a unit of a row's code is worth, and how far at most the
        mapped row lies from its code.
    center : ndarray (width,) of float64, or None
        For floats under L2: pack float32 values about this point, for the expanded screen,
        instead of the rows' own for direct differences.
    packed : bool, default True
        False to pack nothing: then every row is a candidate, and is read from the given array.
    numbers : ndarray (n_rows,) of int64, or None
        The number by which each row is known, where that is not its place.

    The memory is allocated at once; `pack` fills it, range by range.
    """

    cdef object memory
    # What the C functions see of it.
    cdef PackedRows layout

    def __init__(self, given, metric, scale=None, error=None, center=None, packed=True,
                 numbers=None):
        cdef PackedRows *layout = &self.layout
        layout.given = as_matrix(given, metric)
        layout.n_rows = len(given)
        if center is None:
            layout.tile = &kernels.tiles[layout.given.element][layout.given.metric]
            layout.item_bytes = given.dtype.itemsize
        else:
            layout.tile = &kernels.tiles[F32][DOT]
            layout.item_bytes = 4
            layout.center = <double *>address(center)
        layout.groups = (layout.given.width + layout.tile.group - 1) // layout.tile.group
        limit = DEPTH_LIMIT_BYTES if layout.given.element == U8 else DEPTH_LIMIT_FLOATS
        layout.chunk_groups = limit // layout.tile.group
        # Sums of one chunk are kept as they are; longer ones are carried to float64.
        layout.scores = layout.tile.scores if layout.groups <= layout.chunk_groups else F64_SCORES
        layout.panel_bytes = (
            layout.groups * layout.tile.rows * layout.tile.group * layout.item_bytes)
        layout.numbers = NULL if numbers is None else <int64_t *>address(numbers)
        self.memory = [(given, center, numbers)]
        if not packed:
            return
        padded = self.n_panels * layout.tile.rows
        panels = aligned(self.n_panels * layout.panel_bytes, np.uint8)
        bias = aligned(padded, SCORE_DTYPES[layout.scores])
        self.memory += [panels, bias]
        layout.data, layout.bias = address(panels), address(bias)
        if scale is not None:
            terms = [aligned(padded, np.float32) for _ in range(3)]
            terms.append(aligned(self.n_panels, np.float32))
            for term, values in zip(terms, (scale, error, 0)):
                term[:] = 0
                term[:layout.n_rows] = values
            self.memory += terms
            layout.scale, layout.error = <float *>address(terms[0]), <float *>address(terms[1])
            if layout.given.metric == L2:
                layout.energy, layout.ratio = <float *>address(terms[2]), <float *>address(terms[3])

    @property
    def n_panels(self):
        return (self.layout.n_rows + self.layout.tile.rows - 1) // self.layout.tile.rows

    @property
    def n_rows(self):
        return self.layout.n_rows

    @property
    def width(self):
        return self.layout.given.width

    @property
    def packed(self):
        return self.layout.data != NULL

    @property
    def panel_rows(self):
        """The number of rows in a panel."""
        return self.layout.tile.rows

    @property
    def tile_queries(self):
        """The number of queries in a full tile."""
        return self.layout.tile.queries

    @property
    def query_bytes(self):
        """The number of bytes of one packed query."""
        return self.layout.groups * self.layout.tile.group * self.layout.tile.query_bytes

    @property
    def nbytes(self):
        """The number of bytes held beside the given rows."""
        return sum(array.nbytes for array in self.memory[1:])

    def pack(self, Py_ssize_t first, Py_ssize_t last, rows=None):
        """Fill the panels first..last-1 from the given rows, or from `rows`, which are theirs."""
        cdef Py_ssize_t panel
        cdef PackedRows panels = self.layout
        if rows is not None:
            panels.given.stride = rows.strides[0]
            panels.given.data = address(rows) - first * panels.tile.rows * panels.given.stride
        with nogil:
            for panel in range(first, last if panels.data != NULL else first):
                pack_panel(&panels, panel)


cdef class GroupBoxes:
    """Boxes of groups of rows, and of groups of groups, as the walk over them reads them.

    Parameters
    ----------
    lower, upper : ndarray (n_groups, width) of float32
        Of groups of GROUP_ROWS rows each, one after another.
    metric : "l1" or "l2"
    panel_rows : int
        Of the panels that will be searched: a group is a whole number of them.
    """

    cdef object memory
    cdef Boxes boxes

    def __init__(self, lower, upper, metric, panel_rows):
        cdef Boxes *boxes = &self.boxes
        boxes.metric, boxes.width = METRICS[metric], lower.shape[1]
        boxes.group_rows = max(<Py_ssize_t>GROUP_ROWS, <Py_ssize_t>panel_rows)
        boxes.n_levels = 0
        self.memory = []
        together = boxes.group_rows // GROUP_ROWS
        while True:
            if together > 1:
                starts = np.arange(0, len(lower), together)
                lower = np.minimum.reduceat(lower, starts)
                upper = np.maximum.reduceat(upper, starts)
            self._add_level(lower, upper)
            together = BOX_LANES
            if len(lower) <= BOX_LANES:
                break

    def _add_level(self, lower, upper):
        n, width = lower.shape
        padded = (n + BOX_LANES - 1) // BOX_LANES * BOX_LANES
        level = aligned(padded * width * 2, np.float32).reshape(-1, width, 2, BOX_LANES)
        for end, values in enumerate((lower, upper)):
            whole = np.full((padded, width), np.inf, np.float32)
            whole[:n] = values
            level[:, :, end] = whole.reshape(-1, BOX_LANES, width).transpose(0, 2, 1)
        self.memory.append(level)
        self.boxes.levels[self.boxes.n_levels] = <float *>address(level)
        self.boxes.counts[self.boxes.n_levels] = n
        self.boxes.n_levels += 1

    def nearest(self, points):
        """Return a group near to each point, ndarray (n,) of int64: points in its order are near.

        points : ndarray (n, width) of float32, C-contiguous
        """
        cdef Py_ssize_t i, n = len(points)
        groups = np.empty(n, np.int64)
        cdef int64_t *group = <int64_t *>address(groups)
        cdef const float *point = <float *>address(points)
        cdef char room[BOX_LANES * 4 + VECTOR_BYTES]
        cdef float *bounds = <float *>next_vector(room)
        with nogil:
            for i in range(n):
                group[i] = nearest_group(&self.boxes, point + i * self.boxes.width, bounds)
        return groups

    def bounds(self, points):
        """Return how far at least each group lies from each point, squared under L2.

        points : ndarray (n, width) of float32, C-contiguous

        Returns an ndarray (n, n_groups) of float32, off by the rounding of its sums.
        """
        cdef Py_ssize_t n_blocks = (self.boxes.counts[0] + BOX_LANES - 1) // BOX_LANES
        padded = n_blocks * BOX_LANES
        found = aligned(len(points) * padded, np.float32).reshape(len(points), padded)
        cdef float *bound = <float *>address(found)
        cdef const float *point = <float *>address(points)
        cdef Py_ssize_t i, block, width = self.boxes.width
        for i in range(len(points)):
            for block in range(n_blocks):
                kernels.boxes[self.boxes.metric](
                    width, point + i * width, self.boxes.levels[0] + block * 2 * BOX_LANES * width,
                    INFINITY, bound)
                bound += BOX_LANES
        return found[:, :self.boxes.counts[0]]

    @property
    def group_rows(self):
        """The number of rows in a group."""
        return self.boxes.group_rows

    @property
    def nbytes(self):
        return sum(level.nbytes for level in self.memory)


cdef class CodeRows:
    """Codes of rows (of the training set, or of queries) as a later stage reads them.

    Parameters
    ----------
    codes : ndarray (n_rows, width) of uint8, C-contiguous
    metric : "l1" or "l2"
    scale : ndarray (n_rows,) of float32
        What a unit of a row's code is worth. Under L1, the same for all rows and queries.
    error : ndarray (n_rows,), float32 for training rows, float64 for queries
        How far at most the mapped row lies from its code.
    """

    cdef readonly object codes, scale, error
    cdef object norm
    cdef Matrix rows

    def __init__(self, codes, metric, scale, error):
        cdef Py_ssize_t row
        cdef int32_t *norms
        self.codes, self.scale, self.error = codes, scale, error
        self.rows = as_matrix(codes, metric)
        self.norm = np.zeros(len(codes), np.int32)
        norms = <int32_t *>address(self.norm)
        cdef Py_ssize_t n_rows = len(codes)
        with nogil:
            for row in range(n_rows):
                norms[row] = <int32_t>code_norm(
                    <const uint8_t *>self.rows.data + row * self.rows.stride, self.rows.width)

    def __reduce__(self):
        metric = "l1" if self.rows.metric == L1 else "l2"
        return CodeRows, (self.codes, metric, self.scale, self.error)

    @property
    def nbytes(self):
        return self.codes.nbytes + self.scale.nbytes + self.error.nbytes + self.norm.nbytes


cdef void fill_stage(Stage *stage, CodeRows row_codes, CodeRows query_codes):
    stage.rows = row_codes.rows
    stage.scale = <const float *>address(row_codes.scale)
    stage.error = <const float *>address(row_codes.error)
    stage.norm = <const int32_t *>address(row_codes.norm)
    stage.query_codes = <const uint8_t *>query_codes.rows.data
    stage.query_scale = <const float *>address(query_codes.scale)
    stage.query_error = <const double *>address(query_codes.error)
    stage.query_norm = <const int32_t *>address(query_codes.norm)


cdef class Work:
    """What the search of a block of queries did, and the seconds that it took."""

    # (query, row) pairs that the first stage saw, and (query, row) pairs whose exact distance was
    # computed after the screen; (query, box of a group) pairs that were compared.
    cdef readonly int64_t screened, refined, boxes_compared
    cdef readonly double seconds
    # The seconds that it took to encode the queries; set by the caller that encoded them.
    cdef public double encoding_seconds
    cdef Py_ssize_t n_stages
    cdef int64_t passed[MAX_STAGES]
    cdef uint64_t ticks[MAX_STAGES + 2]

    cdef void note(self, const Queries *queries, int64_t screened, double seconds) noexcept:
        """Add what was screened since the last time, in so many seconds; the rest is counted."""
        self.screened += screened
        self.seconds += seconds
        self.refined, self.boxes_compared = queries.refined, queries.walk.n_boxes
        self.n_stages = queries.n_stages + 1
        memcpy(self.passed, queries.candidates, sizeof(self.passed))
        memcpy(self.ticks, queries.ticks, sizeof(self.ticks))

    @property
    def candidates(self):
        """The number of (query, row) pairs that each stage of the cascade could not rule out."""
        return [self.passed[stage] for stage in range(self.n_stages)]

    @property
    def stage_seconds(self):
        """The share of `seconds` per stage, then of the refine, and last of the groups.

        It is estimated from some of the panels or queries.
        """
        ticks = [self.ticks[stage] for stage in range(self.n_stages)]
        ticks += [self.ticks[<int>REFINE], self.ticks[<int>GROUPS]]
        total = sum(ticks)
        if total == 0:  # it was given up before anything was timed
            ticks[0] = total = 1
        return [self.seconds * tick / total for tick in ticks]


cdef class QueryBlock:
    """Queries packed against some `Panels`, and the k best rows found so far for each.

    Parameters
    ----------
    panels : Panels
    codes : ndarray (n, width), C-contiguous, of the type that `panels` were given
        What the first stage compares.
    errors : ndarray (n,) of float64 or None
        Upper bounds of the distance from each query, as mapped, to its codes; None means zero.
    scale : ndarray (n,) of float32 or None
        For codes: what a unit of each query's code is worth.
    stages : sequence of (CodeRows, CodeRows)
        The later stages: training rows and queries.
    train : ndarray (n_rows, width) or None
        The rows that candidates are refined against; None where scores are the distances.
    exact : ndarray (n, width) of float64, uint8 or int8, C-contiguous, or None
        The queries as given, for the refine: bytes if both they and `train` are such.
    angles : tuple of ndarray, or None
        For the refine of angles: measures of the training rows and of the queries (`measure`), and
        the halves of queries that are not bytes, or None twice.
    found : Keys or None
        The result, filled in place (`metrics/keys.py`); None for a block that only writes distance
        matrices.
    max_key : ndarray (n,) of float64 or None
        Keys beyond which rows are not wanted.
    boxes : GroupBoxes or None
        Of the rows, if they are grouped: then `walk` searches instead of `search`.
    points : ndarray (n, width of the boxes) of float32, and
    point_errors : ndarray (n,) of float64
        The queries as the boxes see them, and how far each may be off.
    starts : ndarray (n,) of int64
        A group near to each query (`GroupBoxes.nearest`), with which its search begins.
    by_number : bool, default False
        Whether `train` (and the measures of angles) are in the order of the numbers of `panels`.
    in_sequence : bool, default False
        Whether rows that follow each other are near to each other.
    alone : bool, default False
        Pack every query by itself, for `refine_nearest`.
    resume : QueryBlock, optional
        Another block of the same queries and `found`, which searched the rows before: this one goes
        on with what it found.
    """

    cdef Panels panels
    cdef Queries queries
    cdef object given, reservoirs
    cdef void *memory
    cdef readonly Work work

    def __init__(self, Panels panels, codes, *, errors=None, scale=None, stages=(), train=None,
                 exact=None, angles=None, found=None, max_key=None, GroupBoxes boxes=None,
                 points=None, point_errors=None, starts=None, bint by_number=False,
                 bint in_sequence=False, bint alone=False, QueryBlock resume=None):
        cdef PackedRows *layout = &panels.layout
        cdef Queries *queries = &self.queries
        cdef char *first_code
        cdef char *flipped
        cdef Py_ssize_t query
        self.panels, self.work = panels, Work()
        queries.n = len(codes)
        queries.together = 1 if alone or boxes is not None else layout.tile.queries
        # One allocation: of many small ones each takes as long as a small search.
        cdef Py_ssize_t tile_scores = MAX_TILE_QUERIES * MAX_PANEL_ROWS, n = queries.n
        cdef Py_ssize_t sizes[15]
        sizes[:] = [
            n * panels.query_bytes, n * 8, tile_scores * 8, tile_scores * 8, n * 8, n * 8, n * 8,
            n * 4, n * 4, n * 4, n * 4, n * 4,
            MAX_BOX_LEVELS * BUNDLE * BOX_LANES * 4 if boxes is not None else 0,
            BUNDLE * panels.query_bytes if boxes is not None else 0,
            0 if boxes is not None or scale is not None else (
                layout.tile.queries * EARLY_ROWS * score_bytes(layout))]
        cdef char *parts[15]
        cdef Py_ssize_t total = panels.query_bytes
        cdef int place
        for place in range(15):
            sizes[place] += -sizes[place] & (VECTOR_BYTES - 1)
            total += sizes[place]
        self.memory = PyMem_RawMalloc(total + VECTOR_BYTES)
        if self.memory == NULL:
            raise MemoryError
        parts[0] = next_vector(<char *>self.memory)
        for place in range(14):
            parts[place + 1] = parts[place] + sizes[place]
        flipped = parts[14] + sizes[14]
        # The pointers below are into these, too.
        self.given = (errors, scale, train, exact, angles, found, stages, boxes, points,
                      point_errors, starts)
        queries.packed, queries.threshold, queries.score = parts[0], parts[1], parts[2]
        queries.total = <double *>parts[3]
        queries.constant, queries.reach = <double *>parts[4], <double *>parts[5]
        queries.max_key = <double *>parts[6]
        queries.start = <int32_t *>parts[7]
        queries.code_scale, queries.code_reach = <float *>parts[8], <float *>parts[9]
        queries.code_limit = <float *>parts[10]
        queries.walk.limits, queries.walk.bounds = <float *>parts[11], <float *>parts[12]
        queries.walk.packed, queries.first_scores = parts[13], parts[14]
        if boxes is not None:
            queries.walk.boxes = &boxes.boxes
            queries.walk.n_panels = panels.n_panels
            queries.walk.group_panels = boxes.boxes.group_rows // layout.tile.rows
            queries.walk.points = <float *>address(points)
            queries.walk.errors = <double *>address(point_errors)
            queries.walk.starts = <int64_t *>address(starts)
        queries.by_number, queries.in_sequence = by_number, in_sequence
        queries.errors = NULL if errors is None else <double *>address(errors)
        queries.scale = NULL if scale is None else <float *>address(scale)
        queries.exact, queries.exact_bytes = NULL, NULL
        if train is not None:
            queries.train = as_matrix(train, "l1" if layout.given.metric == L1 else "l2")
            queries.train_bytes = train.itemsize * train.shape[1]
            if exact is not None and exact.itemsize == 1:
                queries.exact_bytes = <uint8_t *>address(exact)
            elif exact is not None:
                queries.exact = <double *>address(exact)
        queries.angles = angles is not None
        if queries.angles:
            train_measures, measures, high, low = angles
            queries.train_numbers.measures = <int64_t *>address(train_measures)
            queries.numbers.measures = <int64_t *>address(measures)
            queries.numbers.n_measures = measures.shape[1]
            if high is not None:
                queries.numbers.high_halves = <int32_t *>address(high)
                queries.numbers.low_halves = <int32_t *>address(low)
        queries.n_stages = len(stages)
        for place, (train_codes, query_codes) in enumerate(stages):
            fill_stage(&queries.stages[<int>place], train_codes, query_codes)
        first_code = address(codes)
        with nogil:
            if layout.data != NULL:
                pack_queries(layout, queries, first_code, flipped)
            else:
                memset(queries.constant, 0, queries.n * sizeof(double))
            measure_slack(layout, queries)
        if found is not None:
            k = found.rows.shape[1]
            if resume is not None:
                self.reservoirs = resume.reservoirs
            elif layout.numbers == NULL:  # reservoirs take rows in the order of their numbers
                self.reservoirs = reservoir_memory(queries.n, k, layout.n_rows, found.low is not None)
            queries.keeper = keeper_of(lists_of(found), k, self.reservoirs)
            for query in range(n):
                queries.max_key[query] = INFINITY
            if max_key is not None:
                memcpy(queries.max_key, address(max_key), n * sizeof(double))
            for query in range(queries.n):
                if resume is None:
                    start_keeping(&queries.keeper, query)
                set_threshold(layout, queries, query)
        self.work.note(queries, 0, 0)  # a late thread may find nothing to do

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    def search(self, Py_ssize_t first, Py_ssize_t last, give_up=None):
        """Bring the best rows up to date with panels first..last-1, in increasing order.

        Parameters
        ----------
        give_up : (window_rows, early_rows_per_neighbor, row_by_row), or None for never
            When to give up a cascade: `pays` in `search.pxi` says what they mean.

        Returns
        -------
        int
            `last`, or after how many panels the cascade had ceased to pay: a whole number of the
            largest panels.
        """
        cdef PackedRows *layout = &self.panels.layout
        cdef Queries *queries = &self.queries
        cdef Py_ssize_t panel = first, n, at_once = panels_at_once(layout, queries), turn
        cdef Py_ssize_t seen = self.work.screened // max(1, queries.n) - first * layout.tile.rows
        cdef GiveUp limits
        cdef bint may_give_up = give_up is not None, timed
        limits.window_rows, limits.early_rows_per_neighbor, limits.row_by_row = give_up or (0, 0, 0)
        began = perf_counter()
        # Some sixteen turns are timed, or every 64th panel: reading the clock takes time itself.
        cdef Py_ssize_t every = min(64 // at_once, max(1, self.panels.n_panels // at_once // 16))
        with nogil:
            if self.work.screened == 0:
                n = early_panels(layout, queries, last - first)
                if n > 0 and queries.in_sequence:
                    look_at_spread(layout, queries, first, last, n, every == 1)
                elif n > 0:
                    search_first_panels(layout, queries, first, n, every == 1)
                    panel += n
                    queries.rows_seen += n * layout.tile.rows
            while panel < last:
                turn, n = panel // at_once, 1
                if seen + panel * layout.tile.rows >= rows_panel_by_panel(queries):
                    n = min(last, (turn + 1) * at_once) - panel
                timed = turn % every == every // 2
                if n > 1:
                    search_panels(layout, queries, panel, <int>n, timed)
                else:
                    prefetch_rows(layout, queries, panel + 1)
                    search_panel(layout, queries, panel, timed)
                while n > 0:
                    panel += 1
                    n -= 1
                    if may_give_up and not pays(layout, queries, panel - 1, &limits):
                        last = panel + n
            take_all_waiting(layout, queries, False)
        n_rows = min(last * layout.tile.rows, layout.n_rows) - first * layout.tile.rows
        self.work.note(queries, queries.n * n_rows, perf_counter() - began)
        return last

    def walk(self, Py_ssize_t first, Py_ssize_t max_rows, Py_ssize_t few_rows):
        """Search the groups within reach of the queries from `first` on, one query after another.

        Parameters
        ----------
        first : int
        max_rows : int
            Rows of groups after which to return, so that Ctrl-C can be looked at.
        few_rows : int
            Rows per query up to which groups pay, on an average of the queries so far.

        Returns
        -------
        reached : int
            The query to go on from.
        pays : bool
            Whether groups pay still.
        """
        cdef Py_ssize_t query = first
        cdef PackedRows *layout = &self.panels.layout
        cdef Walk *walk = &self.queries.walk
        cdef int64_t before = walk.n_rows
        cdef Py_ssize_t last_timed = TIMED_QUERIES
        began = perf_counter()
        with nogil:
            while query < self.queries.n and walk.n_rows - before < max_rows:
                query += walk_groups(
                    layout, &self.queries, query, query % TIMED_QUERIES < last_timed)
                last_timed = query % TIMED_QUERIES
                if walk.n_rows > (query + TIMED_QUERIES) * few_rows:
                    break
        self.work.note(&self.queries, walk.n_rows - before, perf_counter() - began)
        return query, walk.n_rows <= (query + TIMED_QUERIES) * few_rows

    def refine_nearest(self, order, groups, Py_ssize_t group_rows, Py_ssize_t n_best):
        """Find the k best of those rows whose codes are nearest, among some groups per query.

        order : ndarray (n,) of int64
            In which to take the queries: those of the same groups find their rows in the cache.
        groups : ndarray (n, n_groups) of int64
            As the panels have them, one after another.
        group_rows : int
            Rows of a group, a multiple of MAX_PANEL_ROWS.
        n_best : int
            Rows that are refined per query.

        The first key of each query is that of the k-th then, or infinite if there were fewer.
        """
        cdef PackedRows *layout = &self.panels.layout
        cdef Py_ssize_t i, query, n_groups = groups.shape[1], n = self.queries.n
        cdef const int64_t *queries = <int64_t *>address(order)
        cdef const int64_t *group = <int64_t *>address(groups)
        keys, rows = np.empty((2, n_best)), np.empty((2, n_best), np.int64)
        cdef Best both, nearest
        both.keys, both.low, both.rows = <double *>address(keys), NULL, <int64_t *>address(rows)
        with nogil:
            for i in range(n + 1):
                if i < n:
                    query, nearest = queries[i], best_of(&both, n_best, i % 2)
                    find_near(layout, &self.queries, query, group + query * n_groups, n_groups,
                              group_rows, &nearest, n_best)
                if i > 0:
                    nearest = best_of(&both, n_best, (i - 1) % 2)
                    refine_near(layout, &self.queries, queries[i - 1], &nearest, n_best)

    def finish(self, Py_ssize_t first=0, last=None):
        """Turn what was found into lists: nearest first, and rows that are not there last.

        first, last : the queries first..last-1, by default all
        """
        cdef Py_ssize_t query, end = self.queries.n if last is None else last
        with nogil:
            for query in range(first, end):
                finish_keeping(&self.queries.keeper, query)

    def write_distances(self, out, Py_ssize_t first, Py_ssize_t last):
        """Write the distances to the rows of panels first..last-1 into their columns of `out`.

        out : ndarray (n, n_rows) of float32 or float64, consecutive within a row
        """
        cdef PackedRows *layout = &self.panels.layout
        cdef char *start = address(out)
        cdef Py_ssize_t stride = out.strides[0], column_bytes = out.itemsize, panel
        with nogil:
            for panel in range(first, last):
                if column_bytes == 4:
                    write_panel(layout, &self.queries, panel,
                                <float *>start + panel * layout.tile.rows, stride)
                else:
                    write_panel(layout, &self.queries, panel,
                                <double *>start + panel * layout.tile.rows, stride)


def merge(into, other):
    """Put the best of two lists of neighbors of the same queries in place of the first.

    Parameters
    ----------
    into, other : Keys
        Sorted by (key, row), C-contiguous, both with `low` or both without.
    """
    cdef Py_ssize_t query, n = len(into.rows), k = into.rows.shape[1], n_other = other.rows.shape[1]
    cdef Best ours, theirs, spare, first, second
    copied = into.of(slice(0, 1))
    copied = type(into)(*(None if each is None else np.empty_like(each) for each in copied))
    ours, theirs, spare = lists_of(into), lists_of(other), lists_of(copied)
    with nogil:
        for query in range(n):
            first, second = best_of(&ours, k, query), best_of(&theirs, n_other, query)
            merge_sorted(&first, k, &second, n_other, &spare)
