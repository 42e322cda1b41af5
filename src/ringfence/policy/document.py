"""Documents: YAML read into plain data, with the place of every key and value in its file.

Read from the parser's events and not through its constructors, because a policy file is not trusted: nesting and the
expansion of aliases are bounded, a key may stand once, and what YAML would make an object of is refused. Every fault is
a problem with line and column; reading goes on behind it where that makes sense.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import yaml

from ringfence.errors import Problem

MAX_DEPTH: Final = 100
#: Nodes that aliases may stand for in one file; a bomb of aliases has billions.
MAX_ALIASED: Final = 100_000

Path = Sequence[str | int]
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL: Final = {"", "~", "null", "Null", "NULL"}
_TRUE: Final = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE: Final = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_BASED: Final = re.compile(r"(?:0o?[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")
_TAGS: Final = {f"tag:yaml.org,2002:{name}" for name in ("int", "bool", "float", "null", "map", "seq", "str")}


class Place:
    """Where a node stands, from 1, and where the nodes in it stand."""

    __slots__ = ("column", "inner", "keys", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.keys: dict[str, Place] = {}
        self.inner: dict[str | int, Place] = {}

    def at(self, path: Path) -> Place:
        """The place of the value at a path; of the nearest node around it where there is none."""
        place = self
        for step in path:
            place = place.inner.get(step, place)
        return place

    def of_key(self, path: Path) -> Place:
        """The place of the key that a path ends in; of its value where that has none."""
        around = self.at(path[:-1])
        return around.keys.get(str(path[-1]), around.at(path[-1:])) if path else self


class Document(NamedTuple):
    """One YAML document. `number` counts the documents of a file from 1; `text` is as written, `text_line` the line of
    the file that it begins with.
    """

    file: str
    number: int
    data: Any
    place: Place
    text: str
    text_line: int

    def problem(self, path: Path, found: str, expected: str, *, key: bool = False) -> Problem:
        """A fault of the value, or of the key, at a path."""
        place = self.place.of_key(path) if key else self.place.at(path)
        return Problem(self.file, place.line, place.column, found, expected)


def read_documents(file: str, text: str, problems: list[Problem]) -> list[Document]:
    """The documents of a file that are not empty. What is wrong with the YAML is added to `problems`."""
    reader = _Reader(file, text, problems)
    documents: list[Document] = []
    try:
        documents.extend(reader.documents())
    except _StoppedError as stop:
        problems.append(stop.problem)
    except yaml.YAMLError as error:
        problems.append(_syntax_problem(file, text, error))
    return documents


class _StoppedError(Exception):
    """Nothing behind this fault can be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


class _Node(NamedTuple):
    data: Any
    place: Place
    weight: int


class _Frame:
    """A mapping or sequence that is being read. `key` is the key whose value comes next."""

    __slots__ = ("anchor", "data", "key", "key_place", "merged", "place", "weight")

    def __init__(self, data: Any, place: Place, anchor: str | None) -> None:
        self.data = data
        self.place = place
        self.anchor = anchor
        self.key: str | None = None
        self.key_place = place
        self.merged: list[_Node] = []
        self.weight = 1


class _Reader:
    """Builds data and places from events, without recursion."""

    def __init__(self, file: str, text: str, problems: list[Problem]) -> None:
        self._file = file
        self._lines = text.splitlines(keepends=True)
        self._text = text
        self._problems = problems
        self._frames: list[_Frame] = []
        self._anchors: dict[str, _Node] = {}
        self._aliased = 0
        self._root: _Node | None = None

    def documents(self) -> Iterator[Document]:
        loader = _LOADER(self._text)
        number, start = 0, 0
        try:
            while loader.check_event():
                event: Any = loader.get_event()
                if isinstance(event, yaml.DocumentStartEvent):
                    number, start = number + 1, _line(event) + bool(event.explicit)
                    self._frames, self._anchors, self._root = [], {}, None
                elif isinstance(event, yaml.DocumentEndEvent):
                    if self._root is not None and self._root.data is not None:
                        text = "".join(self._lines[start : _line(event) + 1])
                        yield Document(self._file, number, self._root.data, self._root.place, _own(text), start + 1)
                else:
                    self._take(event)
        finally:
            loader.dispose()

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close()

    def _open(self, event: Any) -> None:
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._check_tag(event)
        if len(self._frames) >= MAX_DEPTH:
            raise _StoppedError(self._problem(event, f"nesting deeper than {MAX_DEPTH}", "a manifest"))
        self._frames.append(_Frame({} if mapping else [], _place(event), event.anchor))

    def _close(self) -> None:
        frame = self._frames.pop()
        for node in frame.merged:
            self._merge(frame, node)
        node = _Node(frame.data, frame.place, frame.weight)
        if frame.anchor:
            self._anchors[frame.anchor] = node
        self._put(node)

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _StoppedError(self._problem(event, f"alias *{event.anchor}", "an anchor that ends before it"))
        self._aliased += node.weight
        if self._aliased > MAX_ALIASED:
            raise _StoppedError(self._problem(event, f"aliases for more than {MAX_ALIASED} nodes", "a manifest"))
        self._put(node)

    def _scalar(self, event: Any) -> None:
        self._check_tag(event)
        frame = self._frames[-1] if self._frames else None
        if frame and isinstance(frame.data, dict) and frame.key is None:
            self._key(frame, event)
            return
        plain = event.implicit[0] if event.tag is None else not event.tag.endswith(":str") and event.tag in _TAGS
        node = _Node(_resolve(event.value) if plain else event.value, _place(event), 1)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._put(node)

    def _key(self, frame: _Frame, event: Any) -> None:
        frame.key, frame.key_place = event.value, _place(event)
        if event.anchor:
            self._anchors[event.anchor] = _Node(event.value, frame.key_place, 1)
        if event.value in frame.data:
            first = frame.place.keys[event.value].line
            found = f"key {event.value!r} a second time"
            self._problems.append(self._problem(event, found, f"each key once (first in line {first})"))

    def _put(self, node: _Node) -> None:
        if not self._frames:
            self._root = node
            return
        frame = self._frames[-1]
        frame.weight += node.weight
        if isinstance(frame.data, list):
            frame.place.inner[len(frame.data)] = node.place
            frame.data.append(node.data)
        elif frame.key is None:
            place = node.place
            raise _StoppedError(Problem(self._file, place.line, place.column, "a key that is no text", "a plain key"))
        elif frame.key == "<<":
            frame.merged.append(node)
            frame.key = None
        else:
            frame.place.inner[frame.key] = node.place
            frame.place.keys[frame.key] = frame.key_place
            frame.data[frame.key] = node.data
            frame.key = None

    def _merge(self, frame: _Frame, node: _Node) -> None:
        """`<<: *base`: the keys of other mappings that this one does not have itself."""
        pairs = enumerate(node.data) if isinstance(node.data, list) else [(None, node.data)]
        for index, data in pairs:
            place = node.place if index is None else node.place.at([index])
            if not isinstance(data, dict):
                found = Problem(self._file, place.line, place.column, "a merge of what is no mapping", "a mapping")
                self._problems.append(found)
                continue
            for key in data.keys() - frame.data.keys():
                frame.data[key] = data[key]
                frame.place.inner[key] = place.at([key])
                frame.place.keys[key] = place.keys.get(key, place)

    def _check_tag(self, event: Any) -> None:
        if event.tag and event.tag != "!" and event.tag not in _TAGS:
            self._problems.append(self._problem(event, f"tag {event.tag}", "plain YAML without tags"))

    def _problem(self, event: Any, found: str, expected: str) -> Problem:
        return Problem(self._file, event.start_mark.line + 1, event.start_mark.column + 1, found, expected)


def _line(event: Any) -> int:
    return int(event.start_mark.line)


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _resolve(text: str) -> Any:
    """A plain scalar as Kubernetes reads it: no timestamps, no numbers to the base of 60."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.match(text) and len(text) < 30:
        return int(text)
    if _BASED.match(text) and len(text) < 30:
        return int(text, 16) if text[1] in "xX" else int(text.replace("o", ""), 8)
    return float(text) if _FLOAT.match(text) else text


def _own(text: str) -> str:
    """A document's text without the marker of the next one."""
    lines = text.splitlines(keepends=True)
    if lines and lines[-1].startswith(("---", "...")):
        lines.pop()
    return "".join(lines)


def _syntax_problem(file: str, text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        found = " ".join(filter(None, (error.problem, error.context)))
        if "nesting depth" in found:  # libyaml's own bound, met while it looks ahead in a long line
            return Problem(file, line, column, f"nesting deeper than {MAX_DEPTH}", "a manifest")
        return Problem(file, line, column, f"broken YAML ({found})", "YAML")
    before = text[: getattr(error, "position", 0)]
    column = len(before) - before.rfind("\n")
    return Problem(file, before.count("\n") + 1, column, "a character that YAML does not allow", "printable text")
