"""The pytest plugin: in a repository of policies every case of a PolicyTest document is a test.

It does nothing until the ini option `ringfence_policies` names the policies and manifests of the repository. Then YAML
files with PolicyTest documents are collected, each case judged together with these, and the fixture `policies` offers
them to tests in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:  # loaded into every run of pytest: the library comes when it is needed
    from ringfence.library import Policies
    from ringfence.policy.case import Case
    from ringfence.policy.test import Failure

_OPTION: Final = "ringfence_policies"
_ENDINGS: Final = frozenset({".yaml", ".yml"})
_HAS_CASES: Final = re.compile(r"""^\s*['"]?kind['"]?:\s*['"]?PolicyTest\b""", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that turns the plugin on."""
    parser.addini(
        _OPTION, "Policies and manifests that PolicyTest cases are judged by: files and directories.", "paths"
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A YAML file with cases, where the plugin is turned on."""
    if not parent.config.getini(_OPTION) or file_path.suffix not in _ENDINGS or not _has_cases(file_path):
        return None
    found: pytest.Collector = PolicyTestFile.from_parent(parent, path=file_path)
    return found


@pytest.fixture(scope="session")
def policies(pytestconfig: pytest.Config) -> Policies:
    """The policies and manifests that `ringfence_policies` names. A repository may define a fixture of its own."""
    from ringfence.library import load  # noqa: PLC0415 - see above

    paths = pytestconfig.getini(_OPTION)
    if not paths:
        pytest.fail(f"the fixture needs the ini option {_OPTION}: files and directories of policies", pytrace=False)
    return load(*_shared(paths))


class CaseFailed(Exception):  # noqa: N818 - says what happened
    """A case did not hold."""

    def __init__(self, failure: Failure) -> None:
        super().__init__("\n".join(failure.lines()))


class PolicyTestFile(pytest.File):
    """A file with cases."""

    def collect(self) -> Iterator[pytest.Item]:
        from ringfence.errors import BadInput  # noqa: PLC0415 - see above

        try:
            cases = [case for test in self.world.parsed.tests for case in test.cases]
        except BadInput as error:
            raise self.CollectError(str(error)) from error
        for case in cases:
            name = f"{case.origin.line}: {case.source} -> {case.destination} {case.pattern} {case.expect.name.lower()}"
            yield PolicyTestCase.from_parent(self, name=name, case=case)

    @cached_property
    def world(self) -> Policies:
        """The cases together with what they are judged by. Raises BadInput."""
        from ringfence.library import load  # noqa: PLC0415 - see above

        return load(*_shared(self.config.getini(_OPTION)), self.path)

    @cached_property
    def failures(self) -> dict[Case, Failure]:
        """The cases that do not hold; all cases are judged at once, when the first is run. Raises BadInput."""
        return {failure.case: failure for failure in self.world.test().failed}


class PolicyTestCase(pytest.Item):
    """One case."""

    def __init__(self, *, case: Case, **given: Any) -> None:
        super().__init__(**given)
        self._case = case

    def runtest(self) -> None:
        """Raises CaseFailed if the case does not hold."""
        assert isinstance(self.parent, PolicyTestFile), "cases are collected of files"
        failure = self.parent.failures.get(self._case)
        if failure is not None:
            raise CaseFailed(failure)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The explanation, and no traceback, for what a user can repair."""
        from ringfence.errors import BadInput  # noqa: PLC0415 - see above

        if isinstance(excinfo.value, (CaseFailed, BadInput)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the case stands; lines count from 0 here."""
        return self.path, self._case.origin.line - 1, self.name


def _shared(paths: list[Path]) -> list[Path]:
    """The files named, without those that have cases: each of these is judged by itself."""
    files = [file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    inside = [file for file in files if file in paths or file.suffix in {*_ENDINGS, ".json"}]
    return [file for file in inside if not (file.suffix in _ENDINGS and file.is_file() and _has_cases(file))]


def _has_cases(file: Path) -> bool:
    try:
        return bool(_HAS_CASES.search(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError):
        return False
