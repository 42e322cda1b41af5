"""The page's files, read as text: what a wheel must carry, and what none of them may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ringfence.api

PAGE = Path(ringfence.api.__file__).parent / "page"
FILES = sorted(PAGE.iterdir())
_IMPORT = re.compile(r'(?:from|import) "\./([^"]+)"')
_LINK = re.compile(r'(?:href|src)="/page/([^"]+)"')


def test_every_file_is_used() -> None:
    """Every file is reached from the page, and every file that is named is there."""
    waiting, found = ["index.html"], set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            text = (PAGE / name).read_text()
            waiting += _IMPORT.findall(text) + _LINK.findall(text)
    documents = {"shapes.js"}  # types alone, named in comments
    assert {file.name for file in FILES} == found | documents


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_another_host_or_makes_html(file: Path) -> None:
    """No file names an address elsewhere, but for the names of standards, and none makes elements out of text."""
    text = file.read_text().replace("http://www.w3.org/2000/svg", "").replace("https://html.spec.whatwg.org/", "")
    assert not re.findall(r"https?://|\burl\((?!#)", text)
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
