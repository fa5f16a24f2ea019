"""The documentation is compiled code: what it shows is what happens, and what it leads to is there."""

from __future__ import annotations

import doctest
import gc
import re
import sys
import threading
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from upright import booting
from upright.actors import Address
from upright.booting import default_tree, restore_default

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in [*DOCS.rglob("*.md"), ROOT / "README.md"])
# These need servers or settings of their own, and have a test that brings them.
FALLBACK = (
    *("audio_recording", "cached_data", "cached_response", "fallback_chains", "local_storage", "offline_mode"),
    *("read_only_mode", "simplified_tutoring", "text_chat", "text_only"),
)
RUN_ELSEWHERE = {DOCS / "strategies" / f"{name}.md" for name in FALLBACK}
BLOCK = re.compile(r"^```(python|pycon)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def wait_until(condition: Callable[[], bool]) -> bool:
    """What a page may use where a reader would simply wait."""
    deadline = time.monotonic() + 20.0
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    return condition()


def with_code(page: str) -> bool:
    return BLOCK.search((ROOT / page).read_text()) is not None and ROOT / page not in RUN_ELSEWHERE


@pytest.mark.actor_crash  # pages show what a crash looks like
@pytest.mark.timeout(60)
@pytest.mark.parametrize("page", [page for page in PAGES if with_code(page)])
def test_every_snippet_does_what_it_shows(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPRIGHT_CONTROL__ENABLED", "false")
    text = (ROOT / page).read_text()
    # A real module, so that what looks its names up by module (type hints, pickle) finds them.
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    names = vars(module)
    names["wait_until"] = wait_until
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    with restore_default():
        booting._make_default(None)  # a reader has booted nothing yet, whatever was booted here before
        try:
            for match in BLOCK.finditer(text):
                kind, code = match.groups()
                line = text.count("\n", 0, match.start()) + 1
                if kind == "python":
                    exec(compile("\n" * line + code, page, "exec", dont_inherit=True), names)
                    continue
                test = doctest.DocTestParser().get_doctest(code, names, page, page, line)
                test.globs = names  # not a copy: what a snippet sets, the functions above it see
                report: list[str] = []
                runner.run(test, out=report.append, clear_globs=False)
                assert not report, "".join(report)
        finally:
            tree = default_tree()
            if tree is not None:
                tree.stop()
            _close(names)
    gc.collect()


def _close(names: dict[str, Any]) -> None:
    for value in list(names.values()):
        close = getattr(value, "close", None)
        if callable(close) and not isinstance(value, types.ModuleType | type | Address):
            close()
    names.clear()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    for target in ("".join(found) for found in LINK.findall((ROOT / page).read_text())):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:", "mailto:")):
            continue
        found = (folder / path) if path else ROOT / page
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", found.read_text(), re.MULTILINE)
            assert anchor in {_slug(heading) for heading in headings}, target


def _slug(heading: str) -> str:
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def test_every_page_is_in_the_navigation_once() -> None:
    def leaves(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        children = node.values() if isinstance(node, dict) else node
        return [leaf for child in children for leaf in leaves(child)]

    shown = leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(shown) == [page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")]


def test_no_page_fetches_anything_from_elsewhere() -> None:
    for page in PAGES:
        for source in re.findall(r"(?:!\[[^\]]*\]\(|src=\")([^)\"\s]+)", (ROOT / page).read_text()):
            assert not source.startswith("http"), (page, source)
