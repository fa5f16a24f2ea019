"""A short text that is equal for two errors of the same making, whatever their messages say."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING

from upright.strategies.foreign import kind_of, traceback_of

if TYPE_CHECKING:
    from types import CodeType

__all__ = ["fingerprint"]

_FRAMES = 3
_MAX_WALK = 2_000


def fingerprint(error: BaseException, *scope: str) -> str:
    """The fingerprint of an error: its type, and the innermost three frames it came through.

    The error's text is left out on purpose. It holds ids, times and addresses, and would make every error a
    new one. Line numbers are left out as well, so that editing a file does not make its errors new; frames
    count by module, or by file where there is no module, and by function.

    Args:
        error: The error. Its traceback may be as long as it likes, or missing.
        scope: What else has to be equal, such as the operation's name.

    Returns:
        16 hexadecimal digits, the same in every process of the same code.
    """
    parts = [kind_of(error, qualified=True), *_innermost(error), *scope]
    # Length first, so that no two lists of parts read the same.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _innermost(error: BaseException) -> list[str]:
    frames: deque[tuple[CodeType, object]] = deque(maxlen=_FRAMES)
    traceback = traceback_of(error)
    for _ in range(_MAX_WALK):
        if traceback is None:
            break
        frame = traceback.tb_frame
        frames.append((frame.f_code, frame.f_globals.get("__name__")))
        traceback = traceback.tb_next
    return [f"{_place(code, module)}.{code.co_qualname}" for code, module in frames]


def _place(code: CodeType, module: object) -> str:
    # `__main__` is another name for whatever was started, so the file says more.
    if isinstance(module, str) and module != "__main__":
        return module
    return code.co_filename.replace("\\", "/").rpartition("/")[2]
