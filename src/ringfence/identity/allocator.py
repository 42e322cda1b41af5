"""The allocator: which number stands for which labels.

Numbers are counted by use and given back when nobody uses them; one that was given back is the last to be given out
again, because events and caches may still name it. A prefix that policies use has a number of its own kind.
"""

from __future__ import annotations

from collections import deque
from ipaddress import IPv4Network, IPv6Network, ip_network

from ringfence.errors import RingfenceError
from ringfence.identity.reserved import (
    FIRST_CLUSTER,
    FIRST_PREFIX,
    LAST_CLUSTER,
    LAST_PREFIX,
    RESERVED_LABELS,
    WHOLE_FAMILY,
)
from ringfence.labels import Labels

Network = IPv4Network | IPv6Network


class NumberPool:
    """Numbers of one range: unused ones first, upwards, then the released ones, the longest unused first."""

    def __init__(self, first: int, last: int) -> None:
        self._next = first
        self._last = last
        self._claimed: set[int] = set()
        self._released: deque[int] = deque()

    def take(self) -> int:
        """Raises RingfenceError when every number of the range is in use."""
        while self._next in self._claimed:
            self._claimed.discard(self._next)
            self._next += 1
        if self._next <= self._last:
            self._next += 1
            return self._next - 1
        if not self._released:
            raise RingfenceError(f"all identities up to {self._last} are in use; remove workloads or policies")
        return self._released.popleft()

    def claim(self, number: int) -> None:
        """Mark a number as taken that was given out before this pool existed."""
        if number >= self._next:
            self._claimed.add(number)
        elif number in self._released:
            self._released.remove(number)

    def give_back(self, number: int) -> None:
        self._released.append(number)


class Allocator:
    """Labels and prefixes -> numbers, counted by use. Reserved labels have their reserved number always."""

    def __init__(self) -> None:
        self._labels: dict[int, Labels] = dict(RESERVED_LABELS)
        self._numbers: dict[Labels, int] = {labels: number for number, labels in RESERVED_LABELS.items()}
        self._prefixes: dict[Network, int] = {prefix: int(number) for prefix, number in WHOLE_FAMILY.items()}
        self._uses: dict[int, int] = {}
        self._cluster = NumberPool(FIRST_CLUSTER, LAST_CLUSTER)
        self._local = NumberPool(FIRST_PREFIX, LAST_PREFIX)

    def allocate(self, labels: Labels) -> tuple[int, bool]:
        """The number of these labels, one use more, and whether it was in no use before."""
        number = self._numbers.get(labels)
        if number is None:
            number = self._cluster.take()
            self._numbers[labels] = number
            self._labels[number] = labels
        return number, self._use(number)

    def release(self, number: int) -> bool:
        """One use less; whether it was the last. A reserved number is never released."""
        if number in RESERVED_LABELS or not self._unuse(number):
            return False
        del self._numbers[self._labels.pop(number)]
        self._cluster.give_back(number)
        return True

    def allocate_prefix(self, prefix: Network) -> tuple[int, bool]:
        """The number of a prefix, one use more, and whether it was in no use before."""
        number = self._prefixes.get(prefix)
        if number is None:
            number = self._prefixes[prefix] = self._local.take()
        return number, self._use(number)

    def release_prefix(self, prefix: Network) -> bool:
        """One use less; whether it was the last."""
        number = self._prefixes[prefix]
        if not self._unuse(number):
            return False
        if prefix not in WHOLE_FAMILY:
            del self._prefixes[prefix]
            self._local.give_back(number)
        return True

    def restore(self, number: int, labels: Labels) -> None:
        """Keep a number for what it stood for before a restart; nobody uses it until it is allocated.

        The labels of a prefix's identity name its covering prefixes too; the longest is its own.
        """
        if number in RESERVED_LABELS:
            return
        if number >= FIRST_PREFIX:
            own = max((ip_network(label.key) for label in labels.from_source("cidr")), key=lambda each: each.prefixlen)
            self._prefixes[own] = number
            self._local.claim(number)
        else:
            self._numbers[labels] = number
            self._labels[number] = labels
            self._cluster.claim(number)

    def forget_unused(self) -> None:
        """Give back the restored numbers that nobody has come to use."""
        for number in [each for each in self._labels if each not in self._uses and each not in RESERVED_LABELS]:
            del self._numbers[self._labels.pop(number)]
            self._cluster.give_back(number)
        for prefix in [each for each, number in self._prefixes.items() if number not in self._uses]:
            if prefix not in WHOLE_FAMILY:
                self._local.give_back(self._prefixes.pop(prefix))

    def labels(self, number: int) -> Labels | None:
        """The labels of a reserved or cluster-scope number. A prefix's labels are the prefix table's to say."""
        return self._labels.get(number)

    def number(self, labels: Labels) -> int | None:
        return self._numbers.get(labels)

    def uses(self, number: int) -> int:
        return self._uses.get(number, 0)

    def _use(self, number: int) -> bool:
        self._uses[number] = self._uses.get(number, 0) + 1
        return self._uses[number] == 1

    def _unuse(self, number: int) -> bool:
        self._uses[number] -= 1
        if self._uses[number]:
            return False
        del self._uses[number]
        return True
