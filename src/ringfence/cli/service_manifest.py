"""What `ringfence service add` was told, as the manifests that say the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import yaml

from ringfence.errors import BadInput
from ringfence.policy.services import ALGORITHM, SERVICE_LABEL

_PORT = re.compile(r"(?P<port>\d+)(:(?P<target>[A-Za-z0-9-]+))?(/(?P<protocol>TCP|UDP|SCTP))?", re.IGNORECASE)


def manifests(
    name: str,
    addresses: Iterable[str],
    ports: Iterable[str],
    backends: Sequence[str],
    selector: str | None,
    algorithm: str,
    affinity: int | None,
) -> str:
    """YAML of a Service and, where backends are named, of a slice a family. Raises `BadInput`."""
    if selector and backends:
        raise BadInput("--selector and --backend: a service has either")
    namespace, _, short = name.rpartition("/")
    metadata: dict[str, Any] = {"name": short, "namespace": namespace or "default"}
    listed = [_port(text) for text in ports]
    listed = [{**port, "name": f"p{index}"} for index, port in enumerate(listed)] if len(listed) > 1 else listed
    spec: dict[str, Any] = {"clusterIPs": list(addresses), "ports": listed}
    if selector:
        spec["selector"] = _labels(selector)
    if affinity:
        spec |= {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": affinity}}}
    annotated = {**metadata, "annotations": {ALGORITHM: algorithm}}
    documents = [{"apiVersion": "v1", "kind": "Service", "metadata": annotated, "spec": spec}]
    if not selector:
        documents += _slices(metadata, listed, backends)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _port(text: str) -> dict[str, Any]:
    found = _PORT.fullmatch(text)
    if found is None:
        raise BadInput(f"--port {text!r}; expected PORT[:TARGET][/PROTOCOL], such as 80:8080/TCP")
    port, target = int(found["port"]), found["target"] or found["port"]
    number = int(target) if target.isdigit() else target
    return {"port": port, "targetPort": number, "protocol": (found["protocol"] or "TCP").upper()}


def _labels(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if any(not key or not middle for key, middle, _ in pairs):
        raise BadInput(f"--selector {text!r}; expected KEY=VALUE,...")
    return {key: value for key, _, value in pairs}


def _slices(
    metadata: Mapping[str, Any], ports: Iterable[Mapping[str, Any]], backends: Iterable[str]
) -> list[dict[str, Any]]:
    """One a family, empty where no backend is of it: a service with slices is not looked for by its selector."""
    found: dict[int, list[str]] = {4: [], 6: []}
    for text in backends:
        try:
            found[ip_address(text).version].append(text)
        except ValueError as error:
            raise BadInput(f"--backend {text!r}; expected an IP address") from error
    targets = [{"name": port.get("name"), "protocol": port["protocol"], "port": port["targetPort"]} for port in ports]
    named = [port["port"] for port in targets if isinstance(port["port"], str)]
    if named:
        raise BadInput(f"target {named[0]!r}: the name of a port needs --selector; backends are given with numbers")
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                **metadata,
                "name": f"{metadata['name']}-ipv{version}",
                "labels": {SERVICE_LABEL: metadata["name"]},
            },
            "addressType": f"IPv{version}",
            "endpoints": [{"addresses": [address]} for address in listed],
            "ports": targets,
        }
        for version, listed in found.items()
    ]
