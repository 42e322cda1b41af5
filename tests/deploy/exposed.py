"""What expressions name."""

from __future__ import annotations

import re


def names_in(expression: str) -> set[str]:
    """The metrics that an expression of PromQL names: what is followed by a selector or stands alone, no function,
    keyword, label or text.
    """
    bare = re.sub(r'"[^"]*"', "", expression)
    without_labels = re.sub(r"\b(by|without|on|group_left|group_right)\s*\([^)]*\)|\{[^}]*\}", " ", bare)
    return set(re.findall(r"\b(up|(?:ringfence|process|python)_[a-z_]+)\b", without_labels))
