from __future__ import annotations

import pytest

from ringfence.labels import Labels
from ringfence.selector import Operator, Requirement, Selector, requirement_key

WEB = Labels.parse(["app=web", "container:app=nginx", "cidr:10.1.0.0/16"])


def one(written: str, operator: Operator, *values: str) -> Selector:
    source, key = requirement_key(written)
    return Selector.of([Requirement(source, key, operator, frozenset(values))])


@pytest.mark.parametrize(
    ("selector", "selects"),
    [
        (Selector(), True),
        (one("app", Operator.IN, "web"), True),
        (one("app", Operator.IN, "nginx"), True),
        (one("k8s:app", Operator.IN, "nginx"), False),
        (one("app", Operator.NOT_IN, "other"), True),
        (one("app", Operator.NOT_IN, "nginx"), False),
        (one("tier", Operator.NOT_IN, "x"), True),
        (one("app", Operator.EXISTS), True),
        (one("tier", Operator.DOES_NOT_EXIST), True),
        (one("container:app", Operator.DOES_NOT_EXIST), False),
        (one("cidr:10.0.0.0/8", Operator.EXISTS), True),
        (one("cidr:10.1.2.0/24", Operator.EXISTS), False),
        (one("cidr:::/0", Operator.EXISTS), False),
        (one("app", Operator.IN, "web") & one("tier", Operator.EXISTS).requirements, False),
    ],
)
def test_requirements(selector: Selector, selects: bool) -> None:  # noqa: FBT001 - the expected answer of a case
    """A key without source is met by any source, a cidr key by every prefix inside it; all requirements must hold."""
    assert selector.matches(WEB) is selects


def test_equal_selectors_are_one() -> None:
    """The order and repetition in which requirements are written do not matter."""
    a, b = one("a", Operator.EXISTS), one("b", Operator.IN, "1", "2")
    assert a & b.requirements == b & (*a.requirements, *a.requirements)
    assert hash(a & b.requirements) == hash(b & a.requirements)
    assert str(a & b.requirements) == "any:a, any:b in (1, 2)"
