"""Fixed answers about the kernel's maps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

from ringfence.agent import nat_views
from ringfence.api import shapes
from ringfence.api.inspected import Element, ElementChanged, LocalAddress, MapChange, MetricShape
from ringfence.api.nat_shapes import TranslationShape
from ringfence.api.service_shapes import BalancingShape
from ringfence.datapath.snat import Translation
from ringfence.errors import NotFound
from ringfence.flow.connections import ConnectionFilter
from tests.unit.cli.balanced import BALANCING

BACKEND = ["k8s:app=backend", "k8s:io.kubernetes.pod.namespace=default"]
FRONTEND = ["k8s:app=frontend", "k8s:io.kubernetes.pod.namespace=default"]


TRANSLATIONS = [
    Translation(6, ip_address("198.51.100.1"), 22, ip_address("203.0.113.9"), 5000, ip_address("198.51.100.1"), 22, 1),
    Translation(6, ip_address("10.0.0.2"), 40000, ip_address("203.0.113.9"), 443, ip_address("198.51.100.1"), 40000, 1),
    Translation(58, ip_address("fd00::2"), 7, ip_address("2001:db8::9"), 0, ip_address("2001:db8::1"), 7, 1),
]


class InspectionAnswers:
    """An `Inspection` with fixed answers, which notes what it was asked for."""

    def __init__(self, changes: list[tuple[str, Any]]) -> None:
        self.changes = changes

    async def translations(self, within: str | None, protocol: str | None) -> list[TranslationShape]:
        self.changes.append(("translations", (within, protocol)))
        return nat_views.translations(TRANSLATIONS)

    async def flush_translations(self, within: str | None, protocol: str | None) -> shapes.Flushed:
        wanted = nat_views.meant(within, protocol)
        return {"flushed": len(list(filter(wanted, TRANSLATIONS)))}

    async def balancing(self) -> BalancingShape:
        return BALANCING

    async def connections(self, wanted: ConnectionFilter) -> list[shapes.ConnectionShape]:
        self.changes.append(("connections", wanted))
        return [
            {
                "protocol": 6,
                "source": "fd00::2",
                "source_port": 40000,
                "destination": "fd00::1",
                "destination_port": 8080,
                "source_identity": 12345,
                "source_labels": FRONTEND,
                "destination_identity": 67890,
                "destination_labels": BACKEND,
                "revision": 7,
                "state": ["replied"],
                "idle_seconds": 1.4,
                "remaining_seconds": 58.6,
                "age_seconds": 9.0,
                "packets": 3,
                "bytes": 200,
                "reply_packets": 2,
                "reply_bytes": 100,
                "tcp_flags": [0x1A, 0x12],
                "egress_rule": "",
                "ingress_rule": "",
            }
        ]

    async def flush_connections(self, wanted: ConnectionFilter) -> shapes.Flushed:
        self.changes.append(("flush", wanted))
        return {"flushed": 1}

    async def maps(self) -> list[shapes.MapShape]:
        return [
            {
                "name": "policy",
                "type": "hash",
                "entries": 2,
                "max_entries": 10,
                "pressure": 0.2,
                "errors": 1,
                "key_bytes": 16,
                "value_bytes": 4,
            },
            {
                "name": "events",
                "type": "ringbuf",
                "entries": None,
                "max_entries": 9,
                "pressure": None,
                "errors": 0,
                "key_bytes": 0,
                "value_bytes": 0,
            },
        ]

    async def map(self, name: str) -> shapes.MapDump:
        if name != "policy":
            raise NotFound(f"there is no map {name}")
        return {
            "name": name,
            "rows": [{"key": {"subject": 67890, "subject_labels": BACKEND, "port": 8080}, "value": 3}],
        }

    async def metrics(self) -> list[MetricShape]:
        return [
            {"reason": "forwarded", "direction": "egress", "packets": 8, "bytes": 800},
            {"reason": "policy denied", "direction": "ingress", "packets": 3, "bytes": 180},
        ]

    async def endpoints(self) -> list[LocalAddress]:
        return [
            {
                "address": "10.0.0.1",
                "row": 12,
                "endpoint": "backend",
                "ifindex": 4,
                "mac": "02:00:00:00:00:01",
                "host_mac": "02:00:00:00:01:01",
                "delivery": "peer",
                "aggregation": "host",
            }
        ]

    async def map_changes(self, name: str, *, follow: bool) -> AsyncIterator[MapChange | dict[str, int]]:
        self.changes.append(("map changes", (name, follow)))
        yield {
            "time": "2026-01-02T03:04:05.000006Z",
            "map": name,
            "action": "set",
            "key": "normal ingress of 67890 from 12345, 8080/TCP",
            "value": "allowed by backend-access, access.yaml:10",
            "revision": 8,
            "because": ["applied: CiliumNetworkPolicy/default/backend-access"],
        }

    async def write_element(self, name: str, element: Element) -> ElementChanged:
        self.changes.append(("write", (name, element)))
        return {"map": name, "key": element["key"], "before": None, "after": element["value"]}

    async def delete_element(self, name: str, element: Element) -> ElementChanged:
        self.changes.append(("delete", (name, element)))
        return {"map": name, "key": element["key"], "before": 1, "after": None}
