"""Many elements of a map in one system call, from and into numpy arrays.

Numbers in the names are descriptors and sizes in bytes; arrays are contiguous rows of exactly the map's sizes. A batch
that has reached the end says ENOENT, which means done.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ringfence.datapath.bpf import ENOTSUPP, Command, call, prepared

Bytes = NDArray[np.uint8]
_BATCH: Final = struct.Struct("<QQQQIIQQ")
_COUNT: Final = struct.Struct("<I")
_COUNT_OFFSET: Final = 32
_ELEMENT: Final = struct.Struct("<IxxxxQQQ")
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP})
ROWS: Final = 16384  # of one call; a bucket of a hash has to fit whole


def address(array: NDArray[Any]) -> int:
    """Where an array's rows lie. The caller keeps the array alive during the call."""
    return int(array.ctypes.data)


def read(fd: int, key_size: int, value_size: int) -> tuple[Bytes, Bytes]:
    """All keys and values, as rows of bytes. A map without batches is walked key by key."""
    try:
        chunks = list(read_chunks(fd, key_size, value_size))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return _walk(fd, key_size, value_size)
    if not chunks:
        return _rows(0, key_size), _rows(0, value_size)
    return np.concatenate([keys for keys, _ in chunks]), np.concatenate([values for _, values in chunks])


def _rows(count: int, size: int) -> Bytes:
    return np.zeros((count, size), np.uint8)


def read_chunks(fd: int, key_size: int, value_size: int, rows: int = ROWS) -> Iterator[tuple[Bytes, Bytes]]:
    """Keys and values, so many a call. Raises OSError, also for a map without batches."""
    # Where the last call stopped: a bucket number for hashes, a key for the rest.
    position = np.zeros(max(key_size, 8), np.uint8)
    start, done = 0, False
    while not done:
        keys, values = np.empty((rows, key_size), np.uint8), np.empty((rows, value_size), np.uint8)
        attributes = bytearray(
            _BATCH.pack(start, address(position), address(keys), address(values), rows, fd, 0, 0),
        )
        try:
            call(Command.MAP_LOOKUP_BATCH, attributes)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # one bucket holds more than fits
                rows *= 2
                continue
            if error.errno != errno.ENOENT:
                raise
            done = True
        start = address(position)
        count = _COUNT.unpack_from(attributes, _COUNT_OFFSET)[0]
        yield keys[:count], values[:count]


def _walk(fd: int, key_size: int, value_size: int) -> tuple[Bytes, Bytes]:
    """By BPF_MAP_GET_NEXT_KEY. A key that vanishes between the calls is left out."""
    key, value = np.zeros(key_size, np.uint8), np.zeros(value_size, np.uint8)
    keys, values, previous = [], [], 0
    while _ask(Command.MAP_GET_NEXT_KEY, fd, previous, address(key)):
        previous = address(key)
        if _ask(Command.MAP_LOOKUP_ELEM, fd, previous, address(value)):
            keys.append(key.copy())
            values.append(value.copy())
    if not keys:
        return _rows(0, key_size), _rows(0, value_size)
    return np.stack(keys), np.stack(values)


def _ask(command: Command, fd: int, key: int, answer: int) -> bool:
    try:
        call(command, bytearray(_ELEMENT.pack(fd, key, answer, 0)))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def write(fd: int, keys: NDArray[Any], values: NDArray[Any], flags: int) -> None:
    """Write all elements. The kernel's batches know no flags, so with BPF_NOEXIST or BPF_EXIST they go one by one.

    Raises OSError at the first element that is refused; those before it are written.
    """
    if flags == 0:
        try:
            attributes = bytearray(_BATCH.pack(0, 0, address(keys), address(values), len(keys), fd, 0, 0))
            call(Command.MAP_UPDATE_BATCH, attributes)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    attributes = bytearray(_ELEMENT.size)
    update = prepared(Command.MAP_UPDATE_ELEM, attributes)
    for key, value in zip(addresses(keys), addresses(values), strict=True):
        _ELEMENT.pack_into(attributes, 0, fd, key, value, flags)
        update()


def erase(fd: int, keys: NDArray[Any]) -> int:
    """Delete elements and return how many there were; keys that are not there are passed over."""
    deleted, position, places = 0, 0, addresses(keys)
    while position < len(keys):
        attributes = bytearray(_BATCH.pack(0, 0, places[position], 0, len(keys) - position, fd, 0, 0))
        try:
            call(Command.MAP_DELETE_BATCH, attributes)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return deleted + sum(_ask(Command.MAP_DELETE_ELEM, fd, key, 0) for key in places[position:])
            if error.errno != errno.ENOENT:
                raise
            position += 1
        count = _COUNT.unpack_from(attributes, _COUNT_OFFSET)[0]
        deleted += count
        position += count
    return deleted


def addresses(rows: NDArray[Any]) -> range:
    """Where each row lies."""
    first, size = address(rows), rows[:1].nbytes
    return range(first, first + len(rows) * size, size) if size else range(0)
