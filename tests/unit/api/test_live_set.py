from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from ringfence.api.client import Client
from ringfence.cli.main import cli
from tests.unit.api.running import Running
from tests.unit.engine.script import WEB

NAMED = WEB.replace('port: "80"', "port: http").replace("name: web,", "name: named,")
SPACE = """---
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {team: blue}}
"""


def table(agent: Running) -> Any:
    done = CliRunner().invoke(cli, ["--socket", str(agent.socket), "policy", "table", "-o", "json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)["cells"]


def test_the_live_set_is_asked_without_files(agent: Running) -> None:
    """Without files the agent's policies and endpoints are shown, with named ports and the labels of namespaces."""
    with Client(str(agent.socket)) as client:
        client.put_endpoint("default/web", netns="1", labels=["app=web"], ports=["http=8080/TCP"])
        client.put_endpoint("client", netns="2", labels=["app=client"])
        client.apply_policies([("named.yaml", SPACE + "---" + NAMED)])
        cells = table(agent)
        assert cells["default/app=client"]["default/app=web"] == "8080/TCP"
        assert cells["world"]["default/app=web"] == "-"
        client.delete_policies(["named"])
        assert {"all"} == set(table(agent)["world"].values())


def test_where_nobody_answers_it_is_said(tmp_path: Path) -> None:
    """Without files and without an agent the exit code is 3, with how to start one."""
    done = CliRunner().invoke(cli, ["--socket", str(tmp_path / "none.sock"), "policy", "graph"])
    assert done.exit_code == 3
    assert "ringfence agent" in done.output
