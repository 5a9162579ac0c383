"""Tables with a column of labels: .csv, .tsv and .parquet, which pandas reads.

A column without a name, in which pandas writes the numbers of the rows, is left out.
"""

import io
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastknn.datasets._pictures import Picture, decoded
from fastknn.datasets._sets import LabelledImages, TableRows, as_classes
from fastknn.datasets._source import FileError, Part, description, look_at, refuse, words_of

LABEL_COLUMNS = ("label", "class", "target", "y")
# What pandas calls the numbers of rows that `to_csv` and `to_parquet` write beside the values.
INDEX = re.compile(r"(Unnamed: 0(\.\d+)?|__index_level_\d+__)?")
# A table may claim any number of rows. None that is larger than this is so much larger than its
# file.
LARGEST_RATIO = 1000
SLACK = 64 << 20
PARQUET_MAGIC = b"PAR1"


def read(parts: Sequence[Part], label: str | None) -> LabelledImages:
    """All columns but that of the labels, each row an image; or a column of image files."""
    (part,) = parts
    try:
        import pandas
    except ImportError as error:
        raise ImportError("tables need pandas: pip install pandas") from error
    if look_at(part.path).head.startswith(PARQUET_MAGIC):
        table = _parquet(pandas, part)
    else:
        table = _text(pandas, part)
    index = [name for name in table.columns if INDEX.fullmatch(str(name))]
    table = table.drop(columns=index) if index else table
    names = [str(name) for name in table.columns]
    place = _label_place(part, names, label)
    if not len(table) or len(names) < 2:
        refuse(part, "rows of numbers and a label", f"{len(table)} rows of {len(names)} columns")
    labels = table.iloc[:, place]
    missing = np.asarray(labels.isna())
    if missing.any():
        refuse(part, f"a label in every row of {names[place]!r}", f"none in row {missing.argmax()}")
    numbers, class_names = as_classes(
        part, np.asarray(labels), len(table), f"column {names[place]!r}"
    )
    table = table.drop(columns=table.columns[place])
    pictures = _pictures_of(part, table)
    if pictures is not None:
        images = decoded(pictures)
        return LabelledImages(
            images.reshape(len(table), -1), numbers, class_names, images.shape[1:]
        )
    rows = TableRows(_pixels(part, table), numbers, class_names, _image_shape(names, place))
    rows.columns = tuple(str(name) for name in table.columns)
    return rows


def _text(pandas: Any, part: Part) -> Any:
    look = look_at(part.path)
    if look.zipped or b"\0" in look.head or not look.size:
        refuse(part, "a table of text (.csv or .tsv)", description(look))
    first_line = look.head.partition(b"\n")[0].decode("latin-1")
    likely = "\t,;" if part.name.lower().endswith(".tsv") else ",;\t"
    separator = max(likely, key=first_line.count)
    try:
        with part.path.open("rb") as stream, warnings.catch_warnings():
            # It warns of values that it leaves out.
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            table = pandas.read_csv(
                stream,
                sep=separator,
                index_col=False,
                low_memory=False,
                keep_default_na=False,  # "NA" may be a class
                na_values=[""],
            )
    except MemoryError:
        raise
    except Exception as error:  # pandas raises many kinds
        refuse(part, "a table of text", f"one that cannot be read ({words_of(error)})", error)
    if all(re.fullmatch(r"-?[\d.]+(e[-+]?\d+)?", str(name)) for name in table.columns):
        refuse(part, "a first line with the names of the columns", "one of numbers")
    return table


def _parquet(pandas: Any, part: Part) -> Any:
    content = part.path.read_bytes()
    # Before any package is asked for: it ends as it begins, with the length of its footer between.
    if len(content) < 3 * len(PARQUET_MAGIC) or not content.endswith(PARQUET_MAGIC):
        refuse(part, "a Parquet table", "one that is cut off or damaged")
    try:
        try:
            from pyarrow.parquet import ParquetFile

            facts = ParquetFile(io.BytesIO(content)).metadata
            size = 8 * facts.num_rows * facts.num_columns
        except ImportError:
            size = 0
        if size > LARGEST_RATIO * len(content) + SLACK:
            refuse(part, "a table", f"a claim of {facts.num_rows} rows")
        return pandas.read_parquet(io.BytesIO(content))
    except ImportError as error:
        raise ImportError("Parquet tables need pyarrow: pip install pyarrow") from error
    except FileError:
        raise
    except Exception as error:  # pandas and pyarrow raise many kinds
        refuse(part, "a Parquet table", f"one that cannot be read ({words_of(error)})", error)


def _label_place(part: Part, names: Sequence[str], label: str | None) -> int:
    shown = ", ".join(map(repr, names[:8])) + (" ..." if len(names) > 8 else "")
    if label is not None:
        if label not in names:
            refuse(part, f"a column {label!r} of labels", f"the columns {shown}")
        return names.index(label)
    lowered = [name.strip().lower() for name in names]
    for name in LABEL_COLUMNS:
        if name in lowered:
            return lowered.index(name)
    expected = (
        f"a column of labels named {', '.join(LABEL_COLUMNS[:-1])} or {LABEL_COLUMNS[-1]}, or the "
        "argument label to name another"
    )
    refuse(part, expected, f"the columns {shown}")


def _pictures_of(part: Part, table: Any) -> list[Picture] | None:
    """The image files of the first column that holds such, as the tables of Hugging Face do."""
    for name in table.columns:
        values = table[name].tolist() if table[name].dtype == object else []
        if values and all(isinstance(one, dict) and "bytes" in one for one in values):
            found = [one["bytes"] for one in values]
            for row, one in enumerate(found):
                if not isinstance(one, bytes):
                    refuse(part, "the bytes of an image in every row", f"none in row {row}")
            rows = (Part(part.path, f"row {row}") for row in range(len(found)))
            return [Picture(*pair) for pair in zip(rows, found, strict=True)]
    return None


def _pixels(part: Part, table: Any) -> np.ndarray:
    """The other columns as one matrix: of bytes where all values are whole and fit into one."""
    columns = []
    for place, name in enumerate(table.columns):
        column = table.iloc[:, place]
        if getattr(column.dtype, "kind", "O") not in "buif":
            expected = "numbers in all columns but that of the labels"
            refuse(part, expected, f"{column.dtype} in the column {str(name)!r}")
        missing = np.asarray(column.isna())
        if missing.any():
            expected = f"a number in every row of the column {str(name)!r}"
            refuse(part, expected, f"none in row {missing.argmax()}")
        values = column.to_numpy()
        columns.append(values.astype(np.float64) if values.dtype == object else values)
    kind = np.result_type(*columns)
    if kind.kind in "bui" and all(one.min() >= 0 and one.max() <= 255 for one in columns):
        kind = np.dtype(np.uint8)
    images = np.empty((len(table), len(columns)), kind)
    for place, values in enumerate(columns):
        images[:, place] = values
    return images


def _image_shape(names: Sequence[str], place: int) -> tuple[int, ...]:
    """A square if the columns are called after pixels, as MNIST's are in such tables."""
    columns = [name for number, name in enumerate(names) if number != place]
    side = math.isqrt(len(columns))
    if side * side == len(columns) and all(
        re.fullmatch(r"pixel_?\d+|\d+x\d+", name.strip()) for name in columns
    ):
        return (side, side)
    return (len(columns),)
