"""From what a source says to what an option dataclass takes.

Only the spelling is converted here ("30" to 30, "off" to None). Whether a value is allowed is said by the
dataclasses alone, so what cannot be converted is handed on as it is and refused there, with the rule.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

from upright.strategies.foreign import is_of

__all__ = ["converted", "takes_several"]

_ON: Final = frozenset({"true", "on", "yes", "1"})
_OFF: Final = frozenset({"false", "off", "no", "0"})
_NONE: Final = frozenset({"off", "none", "null"})


def converted(value: Any, kind: Any, *, textual: bool) -> Any:
    """Return `value` as `kind` if it spells one, else as it is.

    Args:
        value: What the source says.
        kind: The type of the option.
        textual: Whether the source knows text only, as the environment does.
    """
    kinds = _kinds(kind)
    if is_of(value, str) and textual and takes_several(kind):
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif is_of(value, str):
        word = value.strip().lower()
        if bool in kinds and textual and word in _ON | _OFF:
            return word in _ON
        # TOML has no null, so the word is taken from files as well; "" is a variable that is set to nothing.
        if NoneType in kinds and word in _NONE:
            return None
    if float in kinds:
        # An int stays one: a window of 50 calls is not one of 50.0.
        kinds = (int, *kinds)
    return _convert(value, kinds, strict=not textual)


def takes_several(kind: Any) -> bool:
    """Whether an option takes a list of values; in the environment they are separated by commas.

    Examples:
        >>> takes_several(tuple[str, ...]), takes_several(str)
        (True, False)
    """
    return any(get_origin(one) is tuple for one in _kinds(kind))


def _kinds(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _convert(value: Any, kinds: tuple[Any, ...], *, strict: bool) -> Any:
    import msgspec  # noqa: PLC0415 - a boot without settings goes without it

    try:
        return msgspec.convert(value, Union[kinds], strict=strict)  # noqa: UP007 - made from a tuple
    except Exception:  # a ValidationError; and whatever a value of the application's own class raises
        return value
