"""pykka's own test suite, run against SupervisedActor: `python -m benchmarks.pykka_suite`.

Fetches the sdist of the installed pykka with pip, runs its tests with SupervisedActor in place of ThreadingActor and
ReplyFuture in place of ThreadingFuture, and compares what fails with the list of intended differences below. Exit
status 0 means that the two agree; 2 that the sdist could not be had.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

__all__ = ["EXPECTED", "Unavailable", "fetch", "main", "run"]

_CONTAINED = "any BaseException crashes that actor alone; pykka stops every actor in the process"
_START_RAISES = "an exception from on_start comes out of start(); pykka's has returned by then, and only logs it"

EXPECTED = {
    "tests/proxy/test_static_method_calls.py::test_exception_in_method_reraised_by_future[threading]": (
        "an exception that escapes from an ask is a crash, so on_failure is called; pykka lets the actor live"
    ),
    "tests/test_actor.py::test_all_actors_are_stopped_on_base_exception[threading]": _CONTAINED,
    "tests/test_actor.py::test_on_start_failure_causes_actor_to_stop[threading]": _START_RAISES,
    "tests/test_logging.py::test_base_exception_is_logged[threading]": _CONTAINED,
    "tests/test_logging.py::test_exception_in_on_start_is_logged[threading]": _START_RAISES,
    "tests/test_threading_actor.py::test_actor_thread_is_not_daemonic_by_default": (
        "threads are daemons, so that Ctrl-C ends the process"
    ),
}
"""The tests that fail on purpose, with the contract's reason."""

_SWAP = """
import pykka
from upright.actors.actor import SupervisedActor
from upright.actors.reply import ReplyFuture

pykka.ThreadingActor = SupervisedActor
pykka.ThreadingFuture = ReplyFuture
"""


class Unavailable(Exception):  # noqa: N818 - a state of the world
    """pykka's sdist could not be had."""


def fetch(folder: Path) -> Path:
    """Download the sdist of the installed pykka and return the folder it unpacks to.

    Raises:
        Unavailable: No index, no sdist, or one without tests.
    """
    wanted = f"pykka=={version('pykka')}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--quiet"]
    command += ["--dest", str(folder), wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if not archives:
        raise Unavailable(f"pip could not download {wanted}: {done.stderr.strip()[-300:]}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    root = next(path for path in folder.iterdir() if path.is_dir())
    if not (root / "tests").is_dir():
        raise Unavailable(f"{archives[0].name} has no tests")
    return root


def run(root: Path) -> tuple[set[str], str]:
    """Run the suite in `root`; returns what failed, and pytest's closing line."""
    (root / "tests" / "swap_for_upright.py").write_text(_SWAP)
    command = [sys.executable, "-m", "pytest", "tests", "-q", "-p", "tests.swap_for_upright", "-p", "no:cacheprovider"]
    command += ["--timeout", "20", "-rfE", "--no-header", "-W", "ignore", "--tb=no"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500, check=False)
    failed = set(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE))
    closing = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-2000:]
    return failed, closing


def main(arguments: list[str] | None = None) -> int:
    """Run the suite and say where it differs."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            root = fetch(Path(folder))
        except Unavailable as error:
            print(error)
            return 2
        failed, closing = run(root)
    for test in sorted(failed):
        print(f"{'intended' if test in EXPECTED else 'NEW     '}  {test}  {EXPECTED.get(test, '')}")
    for test in sorted(set(EXPECTED) - failed):
        print(f"passes    {test}, though it is listed as different")
    print(closing)
    return 0 if failed == set(EXPECTED) else 1


if __name__ == "__main__":
    sys.exit(main())
