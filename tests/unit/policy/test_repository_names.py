from __future__ import annotations

import pytest

from ringfence.errors import BadInput, NotFound
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.repository import Repository


def policy(name: str, namespace: str) -> str:
    return f"""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{endpointSelector: {{}}, ingress: [{{}}]}}
---"""


@pytest.fixture
def repository() -> Repository:
    text = policy("web", "shop") + policy("api", "shop") + policy("web", "bank")
    made = Repository()
    made.change(parse_documents([Source("all.yaml", text)]).policies)
    return made


@pytest.mark.parametrize("name", ["api", "shop/api", "CiliumNetworkPolicy/shop/api"])
def test_a_policy_is_found_by_as_much_of_its_name_as_is_needed(repository: Repository, name: str) -> None:
    """Name, namespace/name and kind/namespace/name all mean the one policy that is called so."""
    assert repository.find(name).uid == "CiliumNetworkPolicy/shop/api"


def test_a_name_that_several_have_is_not_guessed(repository: Repository) -> None:
    """Where two namespaces have a policy of that name, both are named and neither is taken."""
    with pytest.raises(BadInput, match=r"shop/web.*bank/web"):
        repository.find("web")


def test_half_a_name_is_no_name(repository: Repository) -> None:
    """Only whole parts count."""
    with pytest.raises(NotFound):
        repository.find("pi")
