"""Reserved identities: the numbers below 256 whose labels are fixed, and where the other scopes of numbers begin."""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from ringfence.labels import Label, Labels

FIRST_CLUSTER: Final = 256
LAST_CLUSTER: Final = 65535
FIRST_PREFIX: Final = 0x0100_0001
LAST_PREFIX: Final = 0x01FF_FFFF


class Reserved(IntEnum):
    """Cilium's numbers. `UNKNOWN` is nobody's identity."""

    UNKNOWN = 0
    HOST = 1
    WORLD = 2
    UNMANAGED = 3
    HEALTH = 4
    INIT = 5
    REMOTE_NODE = 6
    KUBE_APISERVER = 7
    INGRESS = 8
    WORLD_IPV4 = 9
    WORLD_IPV6 = 10

    @property
    def label(self) -> Label:
        return Label("reserved", self.name.lower().replace("_", "-"))


#: The two prefixes that have a reserved number each.
WHOLE_FAMILY: Final[dict[IPv4Network | IPv6Network, Reserved]] = {
    ip_network("0.0.0.0/0"): Reserved.WORLD_IPV4,
    ip_network("::/0"): Reserved.WORLD_IPV6,
}


def _labels(reserved: Reserved) -> Labels:
    prefixes = [Label("cidr", str(prefix)) for prefix, number in WHOLE_FAMILY.items() if number == reserved]
    return Labels([reserved.label, *prefixes, *([Reserved.WORLD.label] if prefixes else [])])


RESERVED_LABELS: Final[dict[int, Labels]] = {
    int(reserved): _labels(reserved) for reserved in Reserved if reserved != Reserved.UNKNOWN
}
