"""pykka's documentation stays true: its own tests, run with SupervisedActor, differ only where we mean to."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest


def _load() -> Any:
    # By its path: benchmarks/ is not installed, and with the checkout on sys.path bare `actors` could be imported.
    path = Path(__file__).parents[2] / "benchmarks" / "pykka_suite.py"
    spec = spec_from_file_location("pykka_suite", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pykka_suite = _load()


@pytest.mark.timeout(400)
def test_pykkas_own_tests_differ_only_where_intended(tmp_path: Path) -> None:
    pytest.importorskip("pytest_mock", reason="pykka's tests need pytest-mock")
    try:
        root = pykka_suite.fetch(tmp_path)
    except pykka_suite.Unavailable as error:
        pytest.skip(str(error))
    failed, closing = pykka_suite.run(root)
    assert failed == set(pykka_suite.EXPECTED), closing
