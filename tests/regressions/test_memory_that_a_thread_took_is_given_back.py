"""What threads had taken stayed with a process that had once freed a large block, and a cleanup of it proved nothing.

glibc raises its trim threshold to twice the largest block that was freed, and `malloc_trim` trims the end of the main
heap only: twenty megabytes of a cache that a thread had filled were free, and still resident.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from upright.strategies.healing.memory import _glibc


@pytest.mark.skipif(_glibc() is None, reason="needs a C library that can be told to give memory back")
def test_a_cache_that_a_thread_filled_is_healed_whatever_was_freed_before() -> None:
    script = textwrap.dedent(
        """
        import threading
        import upright
        from upright.strategies.healing import MemoryCleanup

        cache = {}
        full, done = threading.Event(), threading.Event()

        def fill():
            cache.update((number, bytes([number % 251]) * 20_000) for number in range(1_000))
            full.set()
            done.wait()  # its heap would go with it

        bytes(31 * 1_048_576)  # a large block, which is freed at once
        threading.Thread(target=fill).start()
        full.wait()
        with upright.boot(strategies=[MemoryCleanup({"pages": cache}, least_freed=15_000_000)]) as tree:
            result = tree.recover(MemoryError("over budget"), operation="render", timeout=30.0)
        done.set()
        print(result.status, result.steps)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("HEALED"), done.stdout


@pytest.mark.skipif(_glibc() is None, reason="needs a C library that can be told to give memory back")
def test_the_application_takes_large_blocks_as_quickly_as_before() -> None:
    """Each block of some megabytes was mapped anew after a cleanup, a thousand page faults at a time, for good."""
    script = textwrap.dedent(
        """
        import resource
        from upright.strategies.healing import MemoryCleanup

        def faults():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(200):
                bytearray(4 * 1_048_576)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        MemoryCleanup().clean()
        faults()
        print(faults())
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) < 2_000
