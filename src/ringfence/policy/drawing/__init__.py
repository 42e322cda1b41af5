"""Drawing reachability: as Mermaid, as DOT, and as SVG with a layout of our own."""

from __future__ import annotations

from typing import Final, Literal, Protocol

from ringfence.policy.drawing.dot import dot
from ringfence.policy.drawing.mermaid import mermaid
from ringfence.policy.drawing.svg import svg
from ringfence.policy.reach import Reach

Form = Literal["svg", "mermaid", "dot"]


class Drawing(Protocol):
    """Makes a text of reachability; with `defaults` also of what gets through by default alone."""

    def __call__(self, reach: Reach, *, defaults: bool = False) -> str: ...


FORMS: Final[dict[Form, Drawing]] = {"svg": svg, "mermaid": mermaid, "dot": dot}
