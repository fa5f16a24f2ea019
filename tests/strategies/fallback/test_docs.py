"""The pages on fallback are compiled code: what they show is what happens, and their tables say what is so."""

from __future__ import annotations

import doctest
import inspect
import json
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import upright.strategies.fallback as steps
from upright.booting import default_tree
from upright.testing.servers.http import HttpServer, Reply, Request
from upright.testing.servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGES = Path(__file__).parents[3] / "docs" / "strategies"
STEPS = {
    "audio_recording": steps.AudioRecording,
    "cached_data": steps.CachedData,
    "cached_response": steps.CachedResponse,
    "local_storage": steps.LocalStorage,
    "offline_mode": steps.OfflineMode,
    "read_only_mode": steps.ReadOnlyMode,
    "simplified_tutoring": steps.SimplifiedTutoring,
    "text_chat": steps.TextChat,
    "text_only": steps.TextOnly,
}
NAMES = [*STEPS, "fallback_chains"]
SECTIONS = ["When", "Use", "Options", "Telemetry", "Failure modes", "Do and don't"]


def model(request: Request) -> Reply:
    asked = json.loads(request.body)
    text = f"{asked['model']} says: {asked['messages'][-1]['content']}"
    return Reply(body=json.dumps({"choices": [{"message": {"content": text}}]}).encode())


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    with RedisServer() as redis, HttpServer(model) as http:
        yield {"REDIS_URL": redis.url, "SMALL_MODEL_URL": http.url}


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20.0
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return condition()


@pytest.mark.parametrize("name", NAMES)
def test_every_snippet_does_what_it_shows(
    name: str, servers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for key, value in {**servers, "UPRIGHT_CONTROL__ENABLED": "false"}.items():
        monkeypatch.setenv(key, value)
    page = PAGES / f"{name}.md"
    text = page.read_text()
    names: dict[str, Any] = {"__name__": "page", "wait_until": wait_until}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    shown = 0
    try:
        for match in re.finditer(r"^```(python|pycon)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            kind, code = match.groups()
            line = text.count("\n", 0, match.start()) + 1
            if kind == "python":
                exec(compile("\n" * line + code, str(page), "exec", dont_inherit=True), names)
                continue
            test = doctest.DocTestParser().get_doctest(code, names, page.name, str(page), line)
            test.globs = names  # not a copy: what a snippet sets, the functions above it see
            report: list[str] = []
            runner.run(test, out=report.append, clear_globs=False)
            assert not report, "".join(report)
            shown += len(test.examples)
    finally:
        tree = default_tree()
        if tree is not None:
            tree.stop()
        for value in names.values():
            if callable(getattr(value, "close", None)) and not inspect.ismodule(value) and not isinstance(value, type):
                value.close()
    assert shown > 1


@pytest.mark.parametrize("name", NAMES)
def test_every_page_has_the_same_sections_and_its_links_lead_somewhere(name: str) -> None:
    page = PAGES / f"{name}.md"
    text = page.read_text()
    sections = [section for section in re.findall(r"^## (.*)$", text, re.MULTILINE) if section != "Ranking"]
    assert sections == SECTIONS
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("name", STEPS)
def test_every_option_is_listed_and_plain_defaults_are_right(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE))
    parameters = inspect.signature(STEPS[name]).parameters
    assert set(listed) == set(parameters)
    for option, parameter in parameters.items():
        shown = listed[option].strip("`")
        if parameter.default is parameter.empty and (option, name) != ("text", "text_only"):
            assert shown == "required", option
        elif isinstance(parameter.default, int | float):
            assert float(shown) == parameter.default, option
        elif option == "name":
            assert shown.strip('"') == parameter.default
