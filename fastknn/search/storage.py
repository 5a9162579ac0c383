"""An index on disk: plain arrays, described and checksummed; no pickle.

A saved index is a folder:

    index.json       format version, metric, screen, cascade, and for each array its file, type,
                     shape and CRC-32
    train.npy        the training rows
    measures.npy     for angles, what the refine needs to know of each row (`angles.measured`)
    NAME.npy         the cascade's arrays, and the codes, scales and errors of each stage
    groups_NAME.npy  where rows are grouped: their numbers in the order of the groups, which is that
                     of codes, scales and errors too; the ends of the boxes; the arrays of the map

The folder is written under another name and renamed when it is whole. Codes do not depend on
the processor; panels are packed anew where the index is loaded.
"""

import json
import os
import zlib
from pathlib import Path

import numpy as np

from fastknn._utils.dtypes import NATIVE
from fastknn._utils.files import new_folder
from fastknn._utils.npy import open_array, opened
from fastknn.engine import _core
from fastknn.metrics.angles import EXTRA_COLUMNS
from fastknn.metrics.names import ANGLES, METRIC_NAMES, kernel_metric
from fastknn.screens.cascade import Cascade
from fastknn.screens.grouping import Grouping
from fastknn.screens.maps import (
    ByteDirections,
    Groups,
    GroupSums,
    Hadamard,
    Product,
    Projection,
    ProjectionStage,
)
from fastknn.search.searcher import Searcher, screen_of

FORMAT = "fastknn index"
VERSION = 7
DESCRIPTION = "index.json"
CHUNK_BYTES = 1 << 24
# What the names of the arrays of a grouping begin with.
GROUPS = "groups_"
# What goes wrong where a value of the description has another type, or none.
MALFORMED = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)

Arrays = dict[str, np.ndarray]


def save(
    path: str | os.PathLike[str],
    description: dict,
    searcher: Searcher,
) -> None:
    """Write an index to a new folder, whole or not at all."""
    arrays: Arrays = {"train": searcher.train}
    measures = searcher.measures_by_number
    if measures is not None:
        arrays["measures"] = measures
    screen, codes = searcher.screen, searcher.codes
    description = {"format": FORMAT, "version": VERSION, **description}
    description["cascade"] = _take_apart(screen, arrays) if isinstance(screen, Cascade) else None
    description["groups"] = _grouping_apart(searcher, arrays)
    for stage, rows in enumerate(codes):
        arrays[f"codes{stage}"] = rows.codes
        arrays[f"scale{stage}"], arrays[f"error{stage}"] = rows.scale, rows.error
    description["stages"] = len(codes)
    with new_folder(path) as folder:
        description["arrays"] = {
            name: _write_array(folder / f"{name}.npy", array) for name, array in arrays.items()
        }
        text = json.dumps(description, indent=1)
        (folder / DESCRIPTION).write_text(
            json.dumps({"crc32": zlib.crc32(text.encode()), "description": text})
        )


def load(path: str | os.PathLike[str], mmap: bool, verify: bool):
    """Read what `save` wrote: (description, train, screen, codes, measures, grouping).

    Every file is untrusted: what belongs together is compared before any of it is used, so that
    nothing reads beyond an array.
    """
    folder = Path(path).expanduser()
    description = _description(folder)
    arrays = {
        name: _read_array(folder / f"{name}.npy", about, mmap and name == "train", verify)
        for name, about in description["arrays"].items()
    }
    try:
        screen, codes, measures = _assembled(description, arrays)
        grouping = _grouping(description, arrays)
    except MALFORMED as error:
        raise ValueError(
            f"{folder / DESCRIPTION}: does not describe the arrays beside it: {_words(error)}"
        ) from error
    return description, arrays["train"], screen, codes, measures, grouping


def _description(folder: Path) -> dict:
    """What index.json says, with values of the right types."""
    file = folder / DESCRIPTION
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected the folder of a saved index, found a file")
    try:
        with opened(file) as stream:
            data = stream.read()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{folder}: expected a saved index, found no {DESCRIPTION}"
        ) from error
    try:
        sealed = json.loads(data)
        _require(isinstance(sealed, dict), "it is not an object in JSON")
        text = sealed["description"]
        if zlib.crc32(text.encode()) != sealed["crc32"]:
            raise ValueError("its checksum does not fit")
        description = json.loads(text)
        found = description.get("format"), description.get("version")
    except MALFORMED as error:
        why = "it is an empty file" if not data else _words(error)
        raise ValueError(f"{file}: not the description of an index: {why}") from error
    if found != (FORMAT, VERSION):
        raise ValueError(
            f"{folder}: expected {FORMAT} version {VERSION}, found {found[0]} version {found[1]}"
        )
    try:
        metric_known = description["metric"] in METRIC_NAMES
        _require(metric_known, f"metric must be one of {', '.join(METRIC_NAMES)}")
        _require(isinstance(description["screen"], str), "screen must be a word")
        costs = description["costs"]
        numbers = all(type(cost) in (int, float) for cost in costs.values())
        _require(numbers, "costs must be numbers")
        cascade = description["cascade"]
        groups = description["groups"]
        name = "direct" if cascade is None else cascade["name"]
        named = isinstance(name, str) and (groups is None or isinstance(groups["name"], str))
        name = name if groups is None else groups["name"]
        _require(named and (not costs or name in costs), "costs must have its own")
        for name, about in description["arrays"].items():
            _require(name.isidentifier(), f"arrays must have plain names, not {name!r}")
            _require({"dtype", "shape", "crc32"} <= about.keys(), f"{name} must have a shape")
        _require("train" in description["arrays"], "arrays must have train")
    except MALFORMED as error:
        raise ValueError(f"{file}: not the description of an index: {_words(error)}") from error
    return description


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return f"{error}" or type(error).__name__


def _assembled(description: dict, arrays: Arrays):
    """(screen, codes, measures), all of them fitting the training rows."""
    train, name = arrays["train"], description["metric"]
    _require(
        train.dtype in NATIVE and train.ndim == 2 and train.size > 0,
        f"train must be a matrix, found {train.dtype} {train.shape}",
    )
    n_rows, width = train.shape
    metric, angles, measures = kernel_metric(name), name in ANGLES, None
    if angles:
        n_measures = 6 if name == "correlation" else 3
        measures = _part(arrays, "measures", np.int64, n_rows, n_measures)
    if description["cascade"] is None:
        _require(description["stages"] == 0, "an index without a cascade has no stages")
        return screen_of(train, name, description["screen"]), [], measures
    screen = _put_together(
        description["cascade"], arrays, metric, width + (EXTRA_COLUMNS if angles else 0)
    )
    widths = screen.widths
    _require(description["stages"] == len(widths), f"stages must be {len(widths)}")
    codes = [
        _core.CodeRows(
            _part(arrays, f"codes{stage}", np.uint8, n_rows, stage_width),
            metric,
            _part(arrays, f"scale{stage}", np.float32, n_rows),
            _part(arrays, f"error{stage}", np.float32, n_rows),
        )
        for stage, stage_width in enumerate(widths)
    ]
    return screen, codes, measures


def _part(arrays: Arrays, name: str, dtype: type, *shape: int) -> np.ndarray:
    """One of the arrays, if it has the type and shape that the others call for."""
    array = arrays[name]
    _require(
        array.dtype == dtype and array.shape == shape,
        f"{name} must be {np.dtype(dtype)} {shape}, found {array.dtype} {array.shape}",
    )
    return array


def _write_array(file: Path, array: np.ndarray) -> dict:
    array = np.ascontiguousarray(array)
    with file.open("wb") as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())
    return {"dtype": array.dtype.str, "shape": array.shape, "crc32": _checksum(array)}


def _read_array(file: Path, about: dict, on_disk: bool, verify: bool) -> np.ndarray:
    """One array, if it is what the description says."""
    try:
        array = open_array(file, on_disk=on_disk)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file}: expected this file of a saved index") from error
    found = {"dtype": array.dtype.str, "shape": list(array.shape)}
    expected = {name: about[name] for name in found}
    if found != expected or not array.flags.c_contiguous:
        raise ValueError(f"{file}: altered: expected {expected} in C order, found {found}")
    if verify and _checksum(array) != about["crc32"]:
        raise ValueError(f"{file}: altered: its checksum does not fit")
    return array


def _checksum(array: np.ndarray) -> int:
    """CRC-32 of the bytes of a C-contiguous array, a chunk at a time."""
    data, value = array.reshape(-1).view(np.uint8), 0
    for start in range(0, data.size, CHUNK_BYTES):
        value = zlib.crc32(data[start : start + CHUNK_BYTES].data, value)
    return value


# --- Groupings as arrays ----------------------------------------------------------------------


def _grouping_apart(searcher: Searcher, arrays: Arrays) -> dict | None:
    """Put the arrays of a grouping among the others, and describe it in JSON."""
    grouping = searcher.grouping
    if grouping is None:
        return None
    own: Arrays = {name: getattr(grouping, name) for name in ("numbers", "lower", "upper")}
    scale = 1.0 if grouping.map.metric == "l1" else None
    described = _take_apart(Cascade(searcher.name, grouping.map, [scale]), own)
    arrays.update({GROUPS + name: array for name, array in own.items()})
    return described


def _grouping(description: dict, arrays: Arrays) -> Grouping | None:
    if description["groups"] is None:
        return None
    n_rows, width = arrays["train"].shape
    own = {
        name.removeprefix(GROUPS): array
        for name, array in arrays.items()
        if name.startswith(GROUPS)
    }
    name = description["metric"]
    metric, columns = kernel_metric(name), width + (EXTRA_COLUMNS if name in ANGLES else 0)
    map = _put_together(description["groups"], own, metric, columns).map
    numbers = _part(own, "numbers", np.int64, n_rows)
    _require_permutation(numbers, GROUPS + "numbers")
    n_groups, n_columns = -(-n_rows // _core.GROUP_ROWS), map.widths[0]
    _require(len(map.widths) == 1 and n_columns <= _core.BOX_WIDTH_MAX, "groups are too wide")
    lower, upper = (_part(own, end, np.float32, n_groups, n_columns) for end in ("lower", "upper"))
    return Grouping(map, numbers, lower, upper)


# --- Cascades as arrays -----------------------------------------------------------------------


def _take_apart(cascade: Cascade, arrays: Arrays) -> dict:
    """Put a cascade's arrays among the others, and say in JSON how they belong together."""
    mapping = cascade.map
    arrays["mean"] = mapping.mean
    stages: list[dict] = []
    for place, stage in enumerate(mapping.stages):
        if isinstance(stage, ProjectionStage):
            rotation, columns = stage.rotation, stage.directions
            span = None if columns is None else [columns.start, columns.stop]
            stages.append({"directions": span, "rest": stage.rest})
            if rotation is None:
                stages[-1]["rotated"] = False
            elif isinstance(rotation, Hadamard):
                arrays[f"order{place}"], arrays[f"signs{place}"] = rotation.order, rotation.signs
                stages[-1]["block"] = rotation.block
            else:
                arrays[f"rotation{place}"] = rotation.matrix
        else:
            if stage is not None:
                arrays.update({f"{part}{place}": getattr(stage, part) for part in Groups._fields})
            stages.append({"groups": stage is not None})
    if isinstance(mapping, Projection) and mapping.directions is not None:
        arrays["directions"] = mapping.directions.matrix
        if isinstance(mapping.directions, ByteDirections):
            arrays["direction_scales"] = mapping.directions.scale
    return {"name": cascade.name, "scales": cascade.scales, "stages": stages}


def _put_together(described: dict, arrays: Arrays, metric: str, width: int) -> Cascade:
    """The cascade of rows of this width."""
    mean, scales = _part(arrays, "mean", np.float32, width), described["scales"]
    stages = described["stages"]
    known = all(
        type(scale) is float and 0 < scale < np.inf if metric == "l1" else scale is None
        for scale in scales
    )
    _require(len(stages) == len(scales) > 0 and known, f"scales do not fit, got {scales}")
    if metric == "l1":
        sums = [
            _groups(arrays, place, width) if stage["groups"] else None
            for place, stage in enumerate(stages)
        ]
        return Cascade(described["name"], GroupSums(mean, sums), scales)
    directions = _directions(arrays, mean, width) if "directions" in arrays else None
    stages = [_stage(arrays, place, stage, directions, width) for place, stage in enumerate(stages)]
    return Cascade(described["name"], Projection(mean, directions, stages), scales)


def _directions(arrays: Arrays, mean: np.ndarray, width: int) -> Product | ByteDirections:
    n_directions = arrays["directions"].shape[-1]
    if "direction_scales" not in arrays:
        return Product(_part(arrays, "directions", np.float32, width, n_directions))
    whole = mean.astype(np.uint8)
    _require(np.array_equal(whole, mean), "the mean of bytes must be bytes")
    matrix = _part(arrays, "directions", np.int8, width, n_directions)
    scales = _part(arrays, "direction_scales", np.float64, n_directions)
    _require(bool(np.isfinite(scales).all()), "direction_scales must be finite")
    return ByteDirections(matrix, scales, whole)


def _groups(arrays: Arrays, place: int, width: int) -> Groups:
    order, signs = (
        _part(arrays, f"order{place}", np.int64, width),
        _part(arrays, f"signs{place}", np.float32, width),
    )
    ends = _part(arrays, f"ends{place}", np.int64, arrays[f"ends{place}"].size)
    _require_permutation(order, f"order{place}")
    ascending = ends.size > 0 and (np.diff(ends, prepend=0) >= 0).all() and ends[-1] == width
    _require(bool(ascending), f"ends{place} must be ends of groups")
    return Groups(order, ends, signs)


def _stage(
    arrays: Arrays,
    place: int,
    stage: dict,
    directions: Product | ByteDirections | None,
    width: int,
) -> ProjectionStage:
    columns = stage["directions"]
    if columns is not None:
        start, stop = columns
        whole = type(start) is type(stop) is int
        n_directions = 0 if directions is None else directions.width
        _require(whole and 0 <= start < stop <= n_directions, f"directions {columns} are not there")
        columns, width = slice(start, stop), stop - start
    _require(type(stage["rest"]) is bool, "rest must be true or false")
    width += stage["rest"]
    if stage.get("rotated") is False:
        _require(columns is not None, "what is not rotated must have directions")
        return ProjectionStage(columns, stage["rest"], None)
    if "block" not in stage:
        rotation = _part(arrays, f"rotation{place}", np.float32, width, width)
        return ProjectionStage(columns, stage["rest"], Product(rotation))
    block, order = stage["block"], arrays[f"order{place}"]
    rounds, padded = order.shape
    whole = type(block) is int and block >= 8 and block & (block - 1) == 0 == padded % block
    _require(whole and padded >= width and rounds > 0, f"block {block} does not fit")
    order = _part(arrays, f"order{place}", np.int64, rounds, padded)
    for permutation in order:
        _require_permutation(permutation, f"order{place}")
    signs = _part(arrays, f"signs{place}", np.float32, rounds, padded)
    return ProjectionStage(columns, stage["rest"], Hadamard(order, signs, block))


def _require_permutation(order: np.ndarray, name: str) -> None:
    permutes = np.array_equal(np.sort(order), np.arange(len(order)))
    _require(permutes, f"{name} must have every place once")
