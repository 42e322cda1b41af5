"""Reading the ring, written to by a program that numbers its records."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import pytest

from ringfence.abi.layout import read_layout
from ringfence.datapath.libbpf import BpfObject
from ringfence.datapath.ringbuf import EventRing
from ringfence.datapath.syscall import BpfMap, prog_test_run

PACKET = bytes(64)
RING = Path(__file__).parent / "ring.bpf.c"
FITTING = 65536 // 96  # records of 88 bytes with their header


class Writer(NamedTuple):
    """The program, the ring it writes to, and its settings as they lie in the kernel."""

    program: int
    ring: EventRing
    settings: Any

    def write(self, count: int) -> None:
        prog_test_run(self.program, PACKET, repeat=count)


@pytest.fixture
def writer(compile_file: Callable[[Path], bytes]) -> Iterator[Writer]:
    content = compile_file(RING)
    layout = read_layout(content)
    with BpfObject(content, "ring") as opened:
        opened.load()
        fds = opened.maps()
        maps = {name: BpfMap(fds[name], layout.maps[name]) for name in ("ring", ".data.settings")}
        settings = maps[".data.settings"].mmap_array()["settings"]
        with EventRing(maps["ring"], layout.structs["record"]) as ring:
            yield Writer(opened.programs()["write_record"], ring, settings)


def test_records_come_whole_and_in_order(writer: Writer) -> None:
    """Records come in the order of writing, each with all its bytes, over many turns of the ring."""
    expected = 0
    for _turn in range(50):
        writer.write(101)
        records = writer.ring.read()
        assert np.array_equal(np.arange(expected, expected + 101), records["number"])
        assert np.array_equal(np.repeat(records["number"], 10), records["filling"].reshape(-1))
        expected += 101
    assert writer.ring.pending == 0


def test_limit_leaves_the_rest(writer: Writer) -> None:
    """A read of at most n records leaves the later ones for the next read."""
    writer.write(10)
    assert [0, 1, 2, 3] == writer.ring.read(4)["number"].tolist()
    assert [4, 5, 6, 7, 8, 9] == writer.ring.read()["number"].tolist()
    assert len(writer.ring.read()) == 0


@pytest.mark.parametrize("kind", ["small_every", "discard_every"])
def test_other_records_are_passed_over(writer: Writer, kind: str) -> None:
    """Discarded records and those of another size are counted and hide none of the others."""
    writer.settings[kind] = 7
    writer.write(100)
    found: list[int] = []
    while len(records := writer.ring.read()):
        found += records["number"].tolist()
    assert [number for number in range(100) if number % 7] == found
    assert writer.ring.skipped == 15


def test_full_ring_loses_new_records(writer: Writer) -> None:
    """A full ring keeps what it has; the program counts what found no place and does not wait."""
    writer.write(FITTING + 50)
    records = writer.ring.read()
    assert np.array_equal(np.arange(len(records)), records["number"])
    assert FITTING + 50 == len(records) + int(writer.settings["lost"][0])
    writer.write(1)
    assert [FITTING + 50] == writer.ring.read()["number"].tolist()


def test_reader_keeps_up_with_a_live_producer(writer: Writer) -> None:
    """While a program writes without a pause, every record is read once or counted as lost."""
    runs = 200_000
    producer = Thread(target=writer.write, args=(runs,))
    producer.start()
    numbers = [writer.ring.read()["number"]]
    while producer.is_alive() or writer.ring.pending:
        numbers.append(writer.ring.read()["number"])
    producer.join()
    found = np.concatenate(numbers)
    assert np.all(np.diff(found.astype(np.int64)) > 0)
    assert runs == len(found) + int(writer.settings["lost"][0])


def test_descriptor_wakes_a_reader(writer: Writer) -> None:
    """The ring's descriptor becomes readable when the program wakes its reader."""
    poll = select.epoll()
    poll.register(writer.ring.fileno(), select.EPOLLIN)
    assert [] == poll.poll(0)
    writer.write(1)
    assert [(writer.ring.fileno(), select.EPOLLIN)] == poll.poll(2)
    poll.close()
