# SPDX-License-Identifier: BSD-3-Clause
"""Tables, with pyarrow: read a column of pictures or arrays, write and read parts of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bnn.errors import BnnError, BulkError, DataError
from bnn.system.files import open_file

#: Key of the shard's fingerprint in the metadata of a part's schema.
_SHARD = b"bnn_shard"

#: Columns of the results.
SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("class_index", pa.int64()),
        pa.field("class_name", pa.string()),
        pa.field("scores", pa.list_(pa.int32())),
        pa.field("error", pa.string()),
    ]
)
_MAX_PART = 1 << 31


def results(
    names: list[str],
    good: NDArray[np.bool_],
    scores: NDArray[np.int32],
    classes: NDArray[np.int64],
    labels: Sequence[str],
    errors: list[str | None],
) -> Any:
    """Return the results of inputs as a table with the columns of :data:`SCHEMA`.

    Args:
        names: names of all inputs.
        good: for each input, whether it was classified.
        scores, classes: scores and class indexes of the inputs that were classified, in order.
        labels: names of the classes.
        errors: for each input, why it was not classified; None if it was.
    """
    bad = ~good
    each = scores.shape[1]
    offsets = np.concatenate([[0], np.cumsum(good, dtype=np.int64) * each]).astype(np.int32)
    indices = np.zeros(len(names), np.int64)
    indices[good] = classes
    numbers = pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(np.ascontiguousarray(scores).ravel()), mask=pa.array(bad)
    )
    index = pa.array(indices, mask=bad)
    label = pa.DictionaryArray.from_arrays(index, pa.array(list(labels), pa.string()))
    columns = [
        # A file's name may have bytes that are not UTF-8.
        pa.array([name.encode("utf-8", "backslashreplace").decode() for name in names]),
        index,
        label.cast(pa.string()),
        numbers,
        pa.array(errors, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def to_bytes(tables: list[Any], fingerprint: str) -> bytes:
    """Return the bytes of a part: a Parquet file with ``tables``.

    Its metadata have the fingerprint of its shard.
    """
    import pyarrow.parquet as pq

    table = pa.concat_tables([SCHEMA.empty_table(), *tables])
    described = table.replace_schema_metadata({_SHARD: fingerprint.encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(described, sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def part_of(path: Any) -> tuple[str, int, int] | None:
    """Return (fingerprint of the shard, number of rows, number of rows with an error) of a part.

    Return None if the file does not exist, or is not a complete part.
    """
    import pyarrow.parquet as pq

    try:
        with open_file(path, _MAX_PART, DataError) as file:
            told = pq.ParquetFile(file)
            state = (told.schema_arrow.metadata or {}).get(_SHARD)
            errors = told.read(["error"]).column(0)
            rows = told.metadata.num_rows
    except (BnnError, pa.ArrowException, OSError, KeyError):
        return None
    return (
        None
        if state is None
        else (state.decode("ascii", "replace"), rows, rows - errors.null_count)
    )


def batches(
    file: BinaryIO, path: str, column: str | None, usual: Sequence[str], size: int
) -> Iterator[NDArray[Any] | list[bytes | BnnError]]:
    """Yield the column of pictures of a Parquet or Arrow file, some rows at a time.

    Args:
        file: the open file.
        path: path of the file; its suffix says whether it is Parquet or Arrow.
        column: name of the column; None: the only column whose name is in ``usual``.
        usual: usual names of columns with pictures.
        size: largest number of rows at a time.

    Raises:
        DataError: the file is damaged.
        BulkError: there is no such column, or it has neither picture files nor number lists.
    """
    try:
        parts, names = _parts(file, path, size)
        name = _column(names, path, column, usual)
        for part in parts(name):
            yield _values(part, path, name)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as reason:
        if isinstance(reason, BnnError):
            raise
        text = " ".join(str(reason).split())
        raise DataError(f"{path}: cannot be read as a table: {text}") from None


def _parts(file: BinaryIO, path: str, size: int) -> tuple[Any, list[str]]:
    """Return a function, from a column's name to its batches, and the names of all columns."""
    if path.lower().endswith((".parquet", ".pq")):
        import pyarrow.parquet as pq

        table = pq.ParquetFile(file)

        def of_parquet(name: str) -> Iterator[Any]:
            for batch in table.iter_batches(batch_size=size, columns=[name]):
                yield batch.column(0)

        return of_parquet, table.schema_arrow.names
    import pyarrow.ipc as ipc

    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        opened = ipc.open_file(file)
        read = (opened.get_batch(index) for index in range(opened.num_record_batches))
    else:
        opened = ipc.open_stream(file)
        read = iter(opened)

    def of_arrow(name: str) -> Iterator[Any]:
        for batch in read:
            column = batch.column(name)
            for first in range(0, len(column), size):
                yield column.slice(first, size)

    return of_arrow, opened.schema.names


def _column(names: list[str], path: str, column: str | None, usual: Sequence[str]) -> str:
    known = ", ".join(names[:20])
    if column is not None:
        if column not in names:
            raise BulkError(f"{path}: has no column {column!r}; it has {known}")
        return column
    found = [name for name in names if name.lower() in usual]
    if len(found) != 1:
        what = "several columns" if found else "no column"
        raise BulkError(f"{path}: {what} with a usual name; give --column, one of: {known}")
    return found[0]


def _values(column: Any, path: str, name: str) -> NDArray[Any] | list[bytes | BnnError]:
    kind = column.type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        column = column.field(kind.get_field_index("bytes")) if not column.null_count else (
            pa.array([None if row is None else row["bytes"] for row in column.to_pylist()])
        )  # fmt: skip
        kind = column.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        missing = DataError(f"{path}: column {name}: the row has no picture")
        return [missing if each is None else each for each in column.to_pylist()]
    if pa.types.is_fixed_size_list(kind) and not column.null_count:
        flat = column.flatten()
        if flat.null_count:
            raise BulkError(f"{path}: column {name}: a list has an empty element")
        numbers: NDArray[Any] = flat.to_numpy(zero_copy_only=False)
        return numbers.reshape(len(column), kind.list_size)
    raise BulkError(
        f"{path}: column {name} is {kind}; it must contain picture files (binary, or a struct with "
        "a field `bytes`) or number lists of one fixed size (without missing rows)"
    )
