"""Redaction of one whole Sentry event: also what the application and other integrations put into it.

Sentry's own scrubber looks at exact names in some places. Not covered there, and measured to leak: contexts, tags,
breadcrumb messages, exception texts, nested data, and passwords inside URLs. What is not secret stays readable, and
what Sentry works with (ids, times, levels, names of modules and functions, line numbers) stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from upright.strategies.foreign import is_of, kind_of
from upright.strategies.redaction import RedactionLimits, Redactor
from upright.strategies.secret_shapes import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EventRedactor"]

# What is made by the SDK or by upright, of identifiers and times only.
_AS_IT_IS: Final = frozenset(
    {
        "dist",
        "environment",
        "errors",
        "event_id",
        "fingerprint",
        "level",
        "modules",
        "platform",
        "release",
        "sdk",
        "start_timestamp",
        "timestamp",
        "type",
        "_meta",
    }
)
_FRAME_AS_IT_IS: Final = frozenset({"colno", "function", "in_app", "lineno", "module"})
_CRUMB_AS_IT_IS: Final = frozenset({"level", "timestamp", "type"})
_SOURCE: Final = ("pre_context", "context_line", "post_context")
_KEY_BODY = re.compile(r"^[\s\"'#]*[A-Za-z0-9+/=]{40,}[\s\"'\\n]*$")


class EventRedactor:
    """Makes whole events safe to send.

    Args:
        names: Names of keys that hold a secret besides the built-in ones, in any case.
    """

    __slots__ = ("_data", "_variables")

    def __init__(self, names: Iterable[str] = ()) -> None:
        names = tuple(names)
        self._data = Redactor(names, RedactionLimits(depth=12, items=1_000, nodes=20_000, text=8_000))
        # A frame's variables may be anything, and there are many frames.
        self._variables = Redactor(names, RedactionLimits(depth=5, items=20, nodes=500, text=1_000))

    def redact(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the event without its secrets; the given one, and what it refers to, stay untouched."""
        return {key: self._part(key, value) for key, value in event.items()}

    def _part(self, key: str, value: Any) -> Any:
        if key in _AS_IT_IS:
            return value
        if _is_annotated(value):
            return type(value)(self._part(key, value.value), value.metadata)
        if key in ("exception", "threads"):
            return self._values(value, self._exception)
        if key == "stacktrace":
            return self._stacktrace(value)
        if key == "breadcrumbs":
            return self._values(value, self._breadcrumb)
        if key == "extra" and isinstance(value, Mapping) and "sys.argv" in value:
            return {**self._data.data(value), "sys.argv": self._arguments(value["sys.argv"])}
        return self._data.data(_plain(value))

    def _values(self, part: Any, redact: Any) -> Any:
        """Redact what is listed as `{"values": [...]}` or, in the older form, as a bare list."""
        if _is_annotated(part):
            return type(part)(self._values(part.value, redact), part.metadata)
        if isinstance(part, Mapping):
            return {**part, "values": [redact(item) for item in part.get("values") or ()]}
        if isinstance(part, list | tuple):
            return [redact(item) for item in part]
        return self._data.data(part)

    def _exception(self, exception: Any) -> Any:
        if not isinstance(exception, Mapping):
            return self._data.data(exception)
        shown: dict[str, Any] = {}
        for key, value in exception.items():
            if key in ("type", "module", "thread_id"):
                shown[key] = value
            elif key in ("stacktrace", "raw_stacktrace"):
                shown[key] = self._stacktrace(value)
            else:
                shown[key] = self._data.data(_plain(value))
        return shown

    def _stacktrace(self, stacktrace: Any) -> Any:
        if not isinstance(stacktrace, Mapping):
            return self._data.data(stacktrace)
        return {**stacktrace, "frames": [self._frame(frame) for frame in stacktrace.get("frames") or ()]}

    def _frame(self, frame: Any) -> Any:
        if not isinstance(frame, Mapping):
            return self._data.data(frame)
        shown: dict[str, Any] = {}
        for key, value in frame.items():
            if key in _FRAME_AS_IT_IS:
                shown[key] = value
            elif key == "vars":
                shown[key] = self._variables.data(_plain(value))
            elif key not in _SOURCE:
                shown[key] = self._data.data(_plain(value))
        shown.update(self._source({key: frame[key] for key in _SOURCE if key in frame}))
        return shown

    def _source(self, source: dict[str, Any]) -> dict[str, Any]:
        """Redact source lines: literals in them may be secrets, and so may a key that spans all of them."""
        whole = "\n".join(
            "\n".join(map(str, part)) if isinstance(part, list | tuple) else str(part) for part in source.values()
        )
        if "PRIVATE KEY" in whole:
            return {}
        return {
            key: [self._line(line) for line in part] if isinstance(part, list | tuple) else self._line(part)
            for key, part in source.items()
        }

    def _line(self, line: Any) -> Any:
        if not isinstance(line, str):
            return self._data.data(line)
        if _KEY_BODY.match(line):
            return SECRET
        # `token = read_token()` gives nothing away; only a literal or a comment can.
        return self._data.text(line) if any(mark in line for mark in "\"'#@") else line

    def _breadcrumb(self, crumb: Any) -> Any:
        if not isinstance(crumb, Mapping):
            return self._data.data(crumb)
        return {
            key: value if key in _CRUMB_AS_IT_IS else self._data.data(_plain(value)) for key, value in crumb.items()
        }

    def _arguments(self, arguments: Any) -> Any:
        """Redact a command line: `--password hunter2` is two arguments."""
        if not isinstance(arguments, list | tuple):
            return self._data.data(_plain(arguments))
        shown: list[Any] = []
        hide = False
        for argument in list(arguments)[:1_000]:
            text = str(argument)
            is_option = text.startswith("-")
            shown.append(SECRET if hide and not is_option else self._data.text(text))
            hide = is_option and "=" not in text and self._data.is_secret_name(text.lstrip("-"))
        return shown


def _is_annotated(value: Any) -> bool:
    """Whether this is the SDK's AnnotatedValue: a value with a remark such as how long it was before it was cut."""
    return kind_of(value) == "AnnotatedValue" and hasattr(value, "value") and hasattr(value, "metadata")


def _plain(value: Any) -> Any:
    """The value with AnnotatedValues inside it replaced by what they hold, as far as mappings and lists go."""
    return _unannotated(value, 6)


def _unannotated(value: Any, depth: int) -> Any:
    if _is_annotated(value):
        value = value.value
    if depth <= 0 or not (is_of(value, dict) or is_of(value, list)):
        return value
    if is_of(value, dict):
        if not any(_is_annotated(item) or is_of(item, dict) or is_of(item, list) for item in list(value.values())):
            return value
        return {key: _unannotated(item, depth - 1) for key, item in list(value.items())}
    if len(value) > 1_000:
        return value
    return [_unannotated(item, depth - 1) for item in value]
