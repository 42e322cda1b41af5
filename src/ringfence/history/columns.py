"""Columns: the fields of a batch as contiguous arrays, and their distinct values, so that a name is made once for all
rows that share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ringfence.flow.decode import Events, address_text

Column = npt.NDArray[Any]
_TEXTS: Final = pa.dictionary(pa.int32(), pa.string())
_BLOCK_ROWS: Final = 4096  # of a batch: what fits into the second cache is read once, not once a field
_OCTETS: Final = pa.array([str(number) for number in range(256)])


def contiguous(events: Events, fields: Sequence[str]) -> dict[str, Column]:
    """The fields of all events as columns of their own, in the machine's byte order."""
    columns = {name: np.empty(events[name].shape, events.dtype[name].base.newbyteorder("=")) for name in fields}
    for start in range(0, len(events), _BLOCK_ROWS):
        block = events[start : start + _BLOCK_ROWS]
        for name, column in columns.items():
            column[start : start + _BLOCK_ROWS] = block[name]
    return columns


@dataclass(frozen=True, slots=True)
class Coded:
    """Rows by the number of their distinct value, which count from 0 in the order of `first`: the rows that have it
    first.
    """

    codes: npt.NDArray[np.int32]
    first: npt.NDArray[np.int32]

    @classmethod
    def of(cls, *columns: Column) -> Self:
        """The distinct combinations of columns of whole numbers, of eight bytes together."""
        codes, count = _encoded(columns[0] if len(columns) == 1 else _packed(columns))
        first = np.empty(count, np.int32)
        first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1, dtype=np.int32)  # the last to write is the first row
        return cls(codes, first)

    def rows(self, *columns: Column) -> Iterator[tuple[int, ...]]:
        """The values of columns for each distinct value."""
        return zip(*(column[self.first].tolist() for column in columns), strict=True)

    def texts(self, found: Sequence[str | None] | pa.Array) -> pa.DictionaryArray:
        """The texts of all rows, given those of the distinct values; equal texts become one."""
        distinct = pa.array(found, pa.string()).dictionary_encode()
        if distinct.null_count:
            indices = distinct.indices.take(pa.array(self.codes))
        else:
            indices = pa.array(np.take(distinct.indices.to_numpy(), self.codes))
        return pa.DictionaryArray.from_arrays(indices, distinct.dictionary)

    def named(self, column: Column, name: Callable[[int], str | None]) -> pa.DictionaryArray:
        """The texts of all rows of a column, `name` asked once a distinct value."""
        return self.texts([name(number) for number in column[self.first].tolist()])


def _encoded(column: Column) -> tuple[npt.NDArray[np.int32], int]:
    found = pa.array(column).dictionary_encode()
    return found.indices.to_numpy(), len(found.dictionary)


def _packed(columns: Sequence[Column]) -> npt.NDArray[np.uint64]:
    """Columns side by side in one: a hash of eight bytes costs no more than one of two."""
    packed = columns[0].astype(np.uint64)
    for column in columns[1:]:
        packed <<= np.uint64(8 * column.itemsize)
        packed |= column.astype(np.uint64)
    return packed


def addresses(column: Column, family: Column) -> pa.DictionaryArray:
    """A column of sixteen bytes a row as the texts of addresses."""
    high, low = (np.ascontiguousarray(half) for half in column.view(np.uint64).T)
    if high.any() or (family != 4).any():
        (prefixes, _), (rest, _) = _encoded(high), _encoded(low)
        coded = Coded.of(Coded.of(prefixes, rest).codes, family)
    else:
        coded = Coded.of(low)
    distinct, families = column[coded.first], family[coded.first]
    four = families == 4
    octets = distinct[four, 12:]
    texts = np.empty(len(distinct), object)
    texts[four] = pa.compute.binary_join_element_wise(
        *(_OCTETS.take(pa.array(octets[:, at])) for at in range(4)), "."
    ).to_numpy(zero_copy_only=False)
    others = zip(distinct[~four], families[~four].tolist(), strict=True)
    texts[~four] = [address_text(raw.tobytes(), number) for raw, number in others]
    return coded.texts(pa.array(texts, pa.string()))
