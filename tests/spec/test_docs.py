from __future__ import annotations

from tools.generate_policy_docs import TARGET, page, problems


def test_every_field_has_a_file_that_shows_it() -> None:
    """A field of any kind is shown by a spec file, refused by a file in refused/, or listed as ignored."""
    assert problems() == []


def test_the_page_of_fields_is_current() -> None:
    """docs/policy.md says what the schema and the spec files say."""
    assert TARGET.read_text("utf-8") == page()
