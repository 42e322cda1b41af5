"""The parts of a system dump: what the agent tells, what the kernel holds without it, and what the machine is.

A part that cannot be had is left out, and the dump says why.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ringfence.cli.session import DEFAULT_INSTANCE, Session

if TYPE_CHECKING:
    from ringfence.api.client import Client

Part = tuple[str, Callable[[], bytes]]
FLOWS: Final = 5000
LOG_BYTES: Final = 4 << 20
LOGGED_MAPS: Final = ("policy", "ipcache", "endpoints", "services")
RUN: Final = Path("/run/ringfence")


def from_agent(client: Client) -> Iterator[Part]:
    """What a running agent tells: its state with the names that numbers stand for."""
    for name, ask in {
        "status.json": client.status,
        "verify.json": client.verify,
        "endpoints.json": client.endpoints,
        "identities.json": client.identities,
        "policies.json": client.policies,
        "rules.json": client.rules,
        "services.json": client.services,
        "prefilter.json": client.prefilter,
        "subjects.json": client.subjects,
        "bpf/policy.json": client.entries,
        "bpf/ipcache.json": client.ipcache,
        "bpf/connections.json": client.connections,
        "bpf/endpoints.json": client.local_addresses,
        "bpf/balancing.json": client.balancing,
        "bpf/nat.json": client.translations,
        "bpf/metrics.json": client.metrics_map,
        "bpf/maps.json": client.maps,
    }.items():
        yield name, _document(ask)
    yield "metrics.txt", lambda: client.metrics_text().encode()
    yield "flows.jsonl", lambda: _flows(client)
    for name in LOGGED_MAPS:
        yield f"bpf/changes/{name}.jsonl", lambda name=name: _changes(client, name)  # type: ignore[misc] # bound early
    yield from _policies(client)
    yield from _maps(client)


def _document(ask: Callable[[], object]) -> Callable[[], bytes]:
    return lambda: as_json(ask())


def as_json(document: object) -> bytes:
    """A document for people and programs."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=str).encode() + b"\n"


def _lines(documents: Iterator[object]) -> bytes:
    return "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents).encode()


def _flows(client: Client) -> bytes:
    with client.flows(asked={"last": FLOWS}) as found:
        return _lines(found)


def _changes(client: Client, name: str) -> bytes:
    with client.map_changes(name) as found:
        return _lines(found)


def _policies(client: Client) -> Iterator[Part]:
    for policy in client.policies():
        name = policy["uid"].replace("/", "_")
        yield f"policies/{name}.yaml", lambda uid=policy["uid"]: client.policy(uid)["text"].encode()  # type: ignore[misc] # bound early


def _maps(client: Client) -> Iterator[Part]:
    for found in client.maps():
        yield f"bpf/maps/{found['name'].lstrip('.')}.json", _document(lambda name=found["name"]: client.map(name))  # type: ignore[misc] # bound early


def from_kernel(session: Session) -> Iterator[Part]:
    """The maps as they are pinned, without an agent to say what their numbers stand for."""
    from ringfence.agent.contents import elements, summary  # noqa: PLC0415 - slow, and only without an agent
    from ringfence.datapath.loader import PIN_ROOT, is_pinned, open_pinned  # noqa: PLC0415 - likewise
    from ringfence.engine.engine import Engine  # noqa: PLC0415 - likewise

    known = Engine().known
    for directory in sorted((PIN_ROOT / _instance(session)).glob("*")):
        if not is_pinned(directory):
            continue
        with open_pinned(directory) as loaded:
            listed = [summary(name, found) for name, found in sorted(loaded.maps.items()) if name != "events"]
            yield f"pinned/{directory.name}/maps.json", _document(lambda listed=listed: listed)  # type: ignore[misc] # bound early
            for name, found in sorted(loaded.maps.items()):
                path = f"pinned/{directory.name}/{name.lstrip('.')}.json"
                yield path, _document(lambda found=found: elements(found, known))  # type: ignore[misc] # bound early


def of_machine(session: Session) -> Iterator[Part]:
    """Versions, kernel features, the state that is remembered, and what the agent has said."""
    yield "versions.json", _document(_versions)
    yield "kernel-features.json", _document(_features)
    for path in (RUN / _instance(session) / "state").glob("*.jsonl"):
        yield f"state/{path.name}", path.read_bytes
    yield "agent.log", lambda: _log(session)


def _instance(session: Session) -> str:
    return session.instance or DEFAULT_INSTANCE


def _versions() -> dict[str, object]:
    from importlib.metadata import distributions  # noqa: PLC0415 - slow, and only here

    from ringfence import __version__  # noqa: PLC0415 - likewise
    from ringfence.abi import DIGEST  # noqa: PLC0415 - slow to import

    release = Path("/etc/os-release")
    return {
        "ringfence": __version__,
        "abi": DIGEST,
        "python": sys.version,
        "kernel": " ".join(platform.uname()),
        "system": release.read_text().splitlines() if release.exists() else [],
        "cpus": os.cpu_count(),
        "packages": dict(sorted((each.name, each.version) for each in distributions())),
    }


def _features() -> list[dict[str, object]]:
    from ringfence.datapath.features import FEATURES  # noqa: PLC0415 - slow to import

    found: list[dict[str, object]] = []
    for feature in FEATURES:
        try:
            there: object = feature.probe()
        except OSError as error:
            there = str(error)
        found.append({"name": feature.name, "since": feature.since, "there": there})
    return found


def _log(session: Session) -> bytes:
    """The end of what the agent said, where it says it into a file. Raises OSError."""
    process = (RUN / _instance(session) / "lock").read_text().strip()
    said = Path("/proc") / process / "fd" / "2"
    if not said.resolve(strict=True).is_file():
        raise FileNotFoundError(f"the agent, process {process}, does not write into a file; add its log yourself")
    with said.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
        return log.read()
