"""The page on supervision is compiled code: what it shows is what happens."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "supervision.md"


@pytest.mark.actor_crash
def test_every_snippet_of_the_page_on_supervision_does_what_it_shows() -> None:
    text = PAGE.read_text()
    names: dict[str, object] = {"__name__": "page"}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    shown = 0
    for match in re.finditer(r"^```(python|pycon)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        kind, code = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        if kind == "python":
            exec(compile("\n" * line + code, str(PAGE), "exec"), names)
            continue
        test = doctest.DocTestParser().get_doctest(code, names, PAGE.name, str(PAGE), line)
        report: list[str] = []
        runner.run(test, out=report.append, clear_globs=False)
        assert not report, "".join(report)
        names.update(test.globs)
        shown += len(test.examples)
    assert shown > 10


def test_every_link_of_the_page_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE.read_text()):
        assert target.startswith("http") or (PAGE.parent / target).exists(), target
