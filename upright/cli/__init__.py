"""The `upright` command: looking into running trees and steering them from a terminal.

Exit codes: 0 all went well; 1 something is wrong with what was looked at (`status --check`, `doctor`, a wrong
configuration); 2 wrong usage; 3 no running tree fits, or several do; 4 the tree does not answer; 5 the tree refused;
130 interrupted.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; ends the process with an exit code."""
    from upright.cli.app import app

    app(prog_name="upright")
