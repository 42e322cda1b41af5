"""Fixed answers about services."""

from __future__ import annotations

from ringfence.api.service_shapes import BalancingShape, ServiceShape

SERVICES: list[ServiceShape] = [
    {
        "name": "shop/web",
        "frontends": [
            {
                "address": "10.96.0.10",
                "port": 80,
                "protocol": "TCP",
                "outside": False,
                "backends": [
                    {"address": "10.0.0.2", "port": 8080, "state": "active"},
                    {"address": "10.0.0.3", "port": 8080, "state": "terminating"},
                ],
                "new": ["10.0.0.2:8080"],
            },
            {"address": "fd96::10", "port": 80, "protocol": "TCP", "outside": False, "backends": [], "new": []},
        ],
        "algorithm": "random",
        "affinity_seconds": 0,
        "source_ranges": [],
        "selector": {"app": "web"},
        "labels": ["k8s:tier=front"],
        "slices": {"shop/web-abc": ["10.0.0.2", "10.0.0.3"]},
        "origin": "shop.yaml:1",
    }
]
BALANCING: BalancingShape = {
    "frontends": [
        {
            "row": 1,
            "address": "10.96.0.10",
            "port": 80,
            "protocol": "TCP",
            "outside": False,
            "service": "shop/web",
            "flags": ["maglev", "affinity"],
            "affinity_seconds": 100,
            "source_ranges": [],
            "entries": 4,
            "picks": {"10.0.0.2:8080": 3, "10.0.0.4:8080": 1},
        },
        {
            "row": 2,
            "address": "10.96.0.10",
            "port": 0,
            "protocol": "any",
            "outside": False,
            "service": "shop/web",
            "flags": ["no_port"],
            "affinity_seconds": 0,
            "source_ranges": [],
            "entries": 0,
            "picks": {},
        },
    ],
    "backends": [{"row": 5, "address": "10.0.0.2", "port": 8080, "group": 3, "state": "active"}],
}
