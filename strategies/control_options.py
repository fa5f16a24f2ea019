"""Whether and where a tree can be reached from other processes."""

from __future__ import annotations

from dataclasses import dataclass

from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_of
from upright.strategies.options import require_bool

__all__ = ["MAX_SOCKET_PATH", "ControlOptions"]

MAX_SOCKET_PATH = 103
"""Bytes of a Unix socket's path that every system accepts (macOS: 104 with the closing zero; Linux: 108)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOptions:
    """The control socket, through which `upright status` and its siblings reach a running tree.

    Attributes:
        enabled: Whether there is one.
        path: Its path, for example beside a service's other runtime files, in a folder that other users cannot
            write to. None: a name made of process id and tree name, in `$XDG_RUNTIME_DIR/upright`, else in
            `/tmp/upright-UID`; there the command line finds it by itself.

    Raises:
        ConfigError: If `enabled` is no bool, or `path` is no absolute path of at most 103 bytes.
    """

    enabled: bool = True
    path: str | None = None

    def __post_init__(self) -> None:
        require_bool("ControlOptions.enabled", self.enabled)
        if self.path is None:
            return
        rule = f"an absolute path of at most {MAX_SOCKET_PATH} bytes, or None"
        path = str.__str__(self.path) if is_of(self.path, str) else ""
        too_long = len(path.encode(errors="surrogatepass")) > MAX_SOCKET_PATH
        if not path.startswith("/") or "\0" in path or too_long:
            raise ConfigError("ControlOptions.path", self.path, rule)
        object.__setattr__(self, "path", path)
