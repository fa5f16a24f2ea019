"""An interrupt that was called off left CPython 3.11 looking for it: debugged or traced threads then stood still."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import threading
from upright.actors.interrupt import Reach

def last_moment():
    reach = Reach(shielded=False)
    reach.open()
    reach._sent = True  # an interrupt that has not arrived when the thread ends
    reach.close()

thread = threading.Thread(target=last_moment)
thread.start()
thread.join()

def traced():
    return "went on"

sys.settrace(lambda *_: None)
text = traced()
sys.settrace(None)
print(text)
"""


def test_a_traced_function_is_entered_after_an_interrupt_came_too_late() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=25, check=False)
    assert done.stdout.strip() == "went on", done.stderr
