"""An index on disk: plain arrays, described and checksummed; no pickle.

A saved index is a folder:

    index.json       format version, metric, screen, cascade, and for each array its file, type,
                     shape and CRC-32
    train.npy        the training rows
    measures.npy     for angles, what the refine needs to know of each row (`angles.measured`)
    NAME.npy         the cascade's arrays, and the codes, scales and errors of each stage

The folder is written under another name and renamed when it is whole. Codes do not depend on
the processor; panels are packed anew where the index is loaded.
"""

import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np

from fastknn import _core
from fastknn._arrays import open_array
from fastknn._keys import ANGLES
from fastknn.angles import kernel_metric
from fastknn.screens import Cascade, Groups, GroupSums, Hadamard, Head, Product, Projection
from fastknn.searcher import Searcher, screen_of

FORMAT = "fastknn index"
VERSION = 3
DESCRIPTION = "index.json"
CHUNK_BYTES = 1 << 24

Arrays = dict[str, np.ndarray]


def save(
    path: str | os.PathLike[str],
    description: dict,
    searcher: Searcher,
) -> None:
    """Write an index to a new folder, whole or not at all."""
    target = Path(path).expanduser().absolute()
    if target.exists():
        raise FileExistsError(f"path must not exist yet, and {target} does")
    arrays: Arrays = {"train": searcher.train}
    if searcher.angles:
        arrays["measures"] = searcher.measures
    screen, codes = searcher.screen, searcher.codes
    description = {"format": FORMAT, "version": VERSION, **description}
    coded = isinstance(screen, Cascade)
    description["cascade"] = _take_apart(screen, arrays) if coded else None
    for stage, rows in enumerate(codes):
        arrays[f"codes{stage}"] = rows.codes
        arrays[f"scale{stage}"], arrays[f"error{stage}"] = rows.scale, rows.error
    description["stages"] = len(codes)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        description["arrays"] = {
            name: _write_array(folder / f"{name}.npy", array) for name, array in arrays.items()
        }
        text = json.dumps(description, indent=1)
        (folder / DESCRIPTION).write_text(
            json.dumps({"crc32": zlib.crc32(text.encode()), "description": text})
        )
        os.chmod(folder, 0o755)
        os.rename(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def load(path: str | os.PathLike[str], mmap: bool, verify: bool):
    """Read what `save` wrote: (description, train, screen, codes, measures)."""
    folder = Path(path).expanduser()
    try:
        sealed = json.loads((folder / DESCRIPTION).read_text())
        text = sealed["description"]
        if zlib.crc32(text.encode()) != sealed["crc32"]:
            raise ValueError("its checksum does not fit")
        description = json.loads(text)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{folder}: expected a saved index, found no {DESCRIPTION}"
        ) from error
    except NotADirectoryError as error:
        raise ValueError(f"{folder}: expected the folder of a saved index, found a file") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / DESCRIPTION}: not the description of an index: {error}"
        ) from error
    if description.get("format") != FORMAT or description.get("version") != VERSION:
        raise ValueError(
            f"{folder}: expected {FORMAT} version {VERSION}, found "
            f"{description.get('format')} version {description.get('version')}"
        )
    arrays = {}
    for name, about in description["arrays"].items():
        on_disk = mmap and name == "train"
        arrays[name] = _read_array(folder / f"{name}.npy", about, on_disk, verify)
    metric = kernel_metric(description["metric"])
    if description["cascade"] is None:
        screen = screen_of(arrays["train"], description["metric"], description["screen"])
    else:
        screen = _put_together(description["cascade"], arrays)
    codes = [
        _core.CodeRows(
            arrays[f"codes{stage}"], metric, arrays[f"scale{stage}"], arrays[f"error{stage}"]
        )
        for stage in range(description["stages"])
    ]
    measures = arrays["measures"] if description["metric"] in ANGLES else None
    return description, arrays["train"], screen, codes, measures


def _write_array(file: Path, array: np.ndarray) -> dict:
    array = np.ascontiguousarray(array)
    with file.open("wb") as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)
        stream.flush()
        os.fsync(stream.fileno())
    return {"dtype": array.dtype.str, "shape": array.shape, "crc32": _checksum(array)}


def _read_array(file: Path, about: dict, on_disk: bool, verify: bool) -> np.ndarray:
    """One array, if it is what the description says."""
    array = open_array(file, on_disk=on_disk)
    found = {"dtype": array.dtype.str, "shape": list(array.shape)}
    expected = {name: about[name] for name in found}
    if found != expected:
        raise ValueError(f"{file}: altered: expected {expected}, found {found}")
    if verify and _checksum(array) != about["crc32"]:
        raise ValueError(f"{file}: altered: its checksum does not fit")
    return array


def _checksum(array: np.ndarray) -> int:
    """CRC-32 of the bytes of a C-contiguous array, a chunk at a time."""
    data, value = array.reshape(-1).view(np.uint8), 0
    for start in range(0, data.size, CHUNK_BYTES):
        value = zlib.crc32(data[start : start + CHUNK_BYTES], value)
    return value


# --- Cascades as arrays -----------------------------------------------------------------------


def _take_apart(cascade: Cascade, arrays: Arrays) -> dict:
    """Put a cascade's arrays among the others, and say in JSON how they belong together."""
    contraction = cascade.contraction
    arrays["mean"] = contraction.mean
    heads = []
    for place, head in enumerate(contraction.heads):
        if isinstance(contraction, Projection):
            mixing, columns = head.mixing, head.directions
            columns = None if columns is None else [columns.start, columns.stop]
            heads.append({"directions": columns, "rest": head.rest})
            if isinstance(mixing, Hadamard):
                arrays[f"order{place}"], arrays[f"signs{place}"] = mixing.order, mixing.signs
                heads[-1]["block"] = mixing.block
            else:
                arrays[f"rotation{place}"] = mixing.matrix
        else:
            if head is not None:
                arrays.update({f"{part}{place}": getattr(head, part) for part in Groups._fields})
            heads.append({"groups": head is not None})
    if isinstance(contraction, Projection) and contraction.directions is not None:
        arrays["directions"] = contraction.directions.matrix
    return {"name": cascade.name, "scales": cascade.scales, "heads": heads}


def _put_together(described: dict, arrays: Arrays) -> Cascade:
    heads = []
    for place, head in enumerate(described["heads"]):
        if "directions" in head:
            if "block" in head:
                mixing = Hadamard(arrays[f"order{place}"], arrays[f"signs{place}"], head["block"])
            else:
                mixing = Product(arrays[f"rotation{place}"])
            columns = head["directions"]
            columns = None if columns is None else slice(*columns)
            heads.append(Head(columns, head["rest"], mixing))
        elif head["groups"]:
            heads.append(Groups(*(arrays[f"{part}{place}"] for part in Groups._fields)))
        else:
            heads.append(None)
    if heads and isinstance(heads[0], Head):
        directions = arrays.get("directions")
        directions = None if directions is None else Product(directions)
        contraction = Projection(arrays["mean"], directions, heads)
    else:
        contraction = GroupSums(arrays["mean"], heads)
    return Cascade(described["name"], contraction, described["scales"])
