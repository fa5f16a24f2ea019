"""What an application, or a library that it uses, may throw at upright: shared by the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import upright
from upright.strategies.healing.base import HealingStrategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from upright.actors import Address
    from upright.strategies.report import ErrorReport
    from upright.supervisors.status import NodeStatus
    from upright.tree import Tree

__all__ = [
    "PATIENCE",
    "Repair",
    "Unreadable",
    "actors_of",
    "booted",
    "crash_counts",
    "exceptions",
    "is_well",
    "objects",
]

PATIENCE = 20.0  # seconds in which an answer must come; it takes milliseconds


class Unreadable:
    """Raises whatever is done with it, even on a look at its class."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise RuntimeError(f"no {name}")

    def _refuse(self, *_: object) -> NoReturn:
        raise RuntimeError("no")

    __repr__ = __str__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __call__ = __reduce__ = _refuse
    __getitem__ = __contains__ = __lt__ = __add__ = __int__ = __float__ = __index__ = __format__ = _refuse


class Unprintable:
    """An ordinary object but for its texts."""

    def __repr__(self) -> NoReturn:
        raise RuntimeError("no text")

    __str__ = __repr__
    __format__ = __repr__  # type: ignore[assignment]


class Huge:
    """Prints itself at length."""

    def __repr__(self) -> str:
        return "x" * 1_000_000


class _LiarMeta(type):
    """A class that claims to be every other, and cannot be looked at either."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True

    def __subclasscheck__(cls, subclass: type) -> bool:
        return True

    def __repr__(cls) -> NoReturn:
        raise RuntimeError("no text")

    def __eq__(cls, other: object) -> NoReturn:
        raise RuntimeError("not comparable")

    def __hash__(cls) -> int:
        return 1


class Pretender:
    """Says that it is a report."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        from upright.strategies.report import ErrorReport

        return ErrorReport


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


def _cyclic() -> dict[str, Any]:
    cyclic: dict[str, Any] = {}
    cyclic["self"] = [cyclic]
    return cyclic


def objects() -> dict[str, Any]:
    """Return things that nobody sends on purpose, by name."""
    # Not at the top of the module: whoever collects it looks at what stands there.
    liar = _LiarMeta("Liar", (), {})
    return {
        "None": None,
        "True": True,
        "a number": 10**5_000,
        "nan": float("nan"),
        "a million characters": "x" * 1_000_000,
        "surrogates": "\ud800\x00\n",
        "bytes": b"\x00" * 100,
        "a list": [1, 2],
        "a deep list": _deep(),
        "a cycle": _cyclic(),
        "a class": Unprintable,
        "a function": objects,
        "an exception": ValueError("sent, not raised"),
        "an exception class": KeyboardInterrupt,
        "no text": Unprintable(),
        "a long text": Huge(),
        "a liar": liar(),
        "a liar's class": liar,
        "a pretender": Pretender(),
        "unreadable": Unreadable(),
    }


# Exceptions.


class _Raising(ConnectionError):
    def __init__(self, what: str) -> None:
        super().__init__("down")
        vars(self)["what"] = what


def _raising(*names: str) -> Callable[[], Exception]:
    """Return a maker of exceptions whose special methods or attributes of these names raise."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("cannot be looked at")

    methods = {name: refuse if name.startswith("__") and name.endswith("__") else property(refuse) for name in names}
    return lambda: type("Hostile", (ConnectionError,), methods)("down")


def _properties(*names: str) -> Callable[[], Exception]:
    def refuse(_: object) -> NoReturn:
        raise RuntimeError("cannot be looked at")

    return lambda: type("Hostile", (ConnectionError,), {name: property(refuse) for name in names})("down")


class _Untouchable(ConnectionError):
    """Raises on a look at anything but what the interpreter itself needs."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


class _Exiting(ConnectionError):
    """A text that ends the process, if it is let."""

    def __str__(self) -> NoReturn:
        raise SystemExit(3)

    __repr__ = __str__


class _Frozen(ConnectionError):
    """Takes no attribute, as a frozen dataclass does not."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("frozen")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def add_note(self, note: str) -> NoReturn:
        raise AttributeError("frozen")


class _Slots(ConnectionError):
    __slots__ = ("a",)


class _Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__", "__mro__"):
            raise RuntimeError(f"no {name}")
        return super().__getattribute__(name)

    def __instancecheck__(cls, instance: object) -> NoReturn:
        raise RuntimeError("no instancecheck")

    def __eq__(cls, other: object) -> NoReturn:
        raise RuntimeError("no eq")

    def __hash__(cls) -> NoReturn:
        raise RuntimeError("no hash")


def _of_a_weird_class() -> Exception:
    error: Exception = _Meta("Weird", (ConnectionError,), {})("down")
    return error


def _odd_name() -> Exception:
    class OddName(ConnectionError):
        pass

    OddName.__qualname__ = "\ud800" * 10_000
    OddName.__module__ = None  # type: ignore[assignment]
    return OddName("down")


class _TextOfItsOwn(str):
    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __getitem__(self, _: object) -> NoReturn:
        raise RuntimeError("no item")

    def strip(self, *_: object) -> NoReturn:
        raise RuntimeError("no strip")

    partition = encode = lower = split = strip  # type: ignore[assignment]


class _OddText(ConnectionError):
    def __str__(self) -> str:
        return _TextOfItsOwn("down")


def _cycle() -> Exception:
    first, second, third = ConnectionError("1"), KeyError("2"), OSError("3")
    first.__cause__, second.__cause__, third.__cause__ = second, third, first
    first.__context__, second.__context__, third.__context__ = third, first, second
    return first


def _its_own_cause() -> Exception:
    error = ConnectionError("own")
    error.__cause__ = error.__context__ = error
    return error


def _long_chain() -> Exception:
    error: Exception = ConnectionError("innermost")
    for number in range(20_000):
        outer = ConnectionError(str(number))
        outer.__context__ = error
        error = outer
    return error


def _long_causes() -> Exception:
    innermost = error = ConnectionError("innermost")
    for number in range(10_000):
        outer = ConnectionError(str(number))
        outer.__cause__ = error
        error = outer
    innermost.__cause__ = error  # and round again
    return error


def _groups() -> Exception:
    group: Exception = ConnectionError("innermost")
    for number in range(500):
        group = ExceptionGroup(str(number), [group, _Untouchable()])
    return group


def _wide_group() -> Exception:
    return ExceptionGroup("wide", [ConnectionError(str(number)) for number in range(10_000)])


def _deep_traceback() -> Exception:
    def fall(depth: int) -> None:
        if not depth:
            raise ConnectionError("deep")
        fall(depth - 1)

    try:
        fall(800)
    except ConnectionError as error:
        return error
    raise AssertionError


def _noted() -> Exception:
    error = ConnectionError("noted")
    error.__notes__ = 5  # type: ignore[assignment]
    return error


def _hostile_notes() -> Exception:
    error = ConnectionError("noted")
    error.__notes__ = [Unreadable(), None, "x" * 1_000_000]  # type: ignore[list-item]
    return error


def _huge_arguments() -> Exception:
    return ConnectionError("x" * 2_000_000, list(range(100_000)), Unreadable())


def _hostile_attributes() -> Exception:
    error = ConnectionError("down")
    for name in ("response", "orig", "reason", "errno", "sqlstate", "pgcode", "status_code", "retry_after", "headers"):
        setattr(error, name, Unreadable())
    return error


def _odd_numbers() -> Exception:
    error = ConnectionError("down")
    error.retry_after = 10**400  # type: ignore[attr-defined]
    error.status_code = -(10**400)  # type: ignore[attr-defined]
    error.sqlstate = "\ud800\x00\n\r\t"  # type: ignore[attr-defined]
    return error


def exceptions() -> dict[str, Callable[[], Exception]]:
    """Return makers of exceptions, by what is wrong with them."""
    return {
        "__str__ raises": _raising("__str__"),
        "__repr__ raises": _raising("__repr__"),
        "all texts raise": _raising("__str__", "__repr__", "__format__"),
        "__eq__ and __hash__ raise": _raising("__eq__", "__hash__", "__ne__"),
        "__bool__ and __len__ raise": _raising("__bool__", "__len__", "__iter__"),
        "pickling raises": _raising("__reduce__", "__reduce_ex__", "__getstate__", "__copy__", "__deepcopy__"),
        "__traceback__ raises": _properties("__traceback__", "with_traceback"),
        "__cause__ and __context__ raise": _properties("__cause__", "__context__", "__suppress_context__"),
        "args and __notes__ raise": _properties("args", "__notes__", "add_note"),
        "known attributes raise": _properties(
            "errno", "strerror", "response", "sqlstate", "status_code", "retry_after"
        ),
        "__dict__ raises": _properties("__dict__"),
        "__class__ raises": _properties("__class__"),
        "every attribute raises": _Untouchable,
        "a text that exits": _Exiting,
        "frozen": _Frozen,
        "slots": _Slots,
        "a weird metaclass": _of_a_weird_class,
        "an odd name": _odd_name,
        "an odd text": _OddText,
        "a cycle of causes": _cycle,
        "its own cause": _its_own_cause,
        "a long chain": _long_chain,
        "a cycle of 10 000 causes": _long_causes,
        "nested groups": _groups,
        "a wide group": _wide_group,
        "a deep traceback": _deep_traceback,
        "notes that are no list": _noted,
        "hostile notes": _hostile_notes,
        "huge arguments": _huge_arguments,
        "hostile attributes": _hostile_attributes,
        "odd numbers": _odd_numbers,
    }


# Trees.


class Repair(HealingStrategy):
    """Heals everything, or nothing."""

    name = "repair"

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        self.heals = 0

    def can_handle(self, report: ErrorReport) -> bool:
        return True

    def heal(self, report: ErrorReport) -> None:
        self.heals += 1
        if not self.works:
            raise OSError("in vain")

    def verify(self, report: ErrorReport) -> None:
        return None


@contextmanager
def booted(*strategies: Any, **config: Any) -> Iterator[Tree]:
    """Boot a tree with short waits and without a control socket."""
    short: dict[str, Any] = {
        "control": {"enabled": False},
        "retry": {"initial": 0.001, "maximum": 0.002},
        "healing": {"heal_wait": PATIENCE},
    }
    tree = upright.boot({**short, **config}, strategies=strategies)
    try:
        yield tree
    finally:
        tree.stop(timeout=PATIENCE)


def actors_of(tree: Tree) -> list[Address[Any]]:
    """Return the addresses of all actors but the workers."""
    return list(tree._parts.directory.walk())


def crash_counts(tree: Tree) -> dict[str, int]:
    """Return how often each actor was restarted, for those that were."""
    return {address.name: address.restarts for address in actors_of(tree) if address.restarts}


def is_well(tree: Tree) -> bool:
    """Whether the tree does its work, and what it tells of itself can be written down."""
    result = tree.call("is it well", lambda: "well")
    status = tree.status()
    json.dumps(status.to_dict())
    json.dumps([entry.to_dict() for entry in tree.history()])
    return result.value == "well" and _runs(status)


def _runs(node: NodeStatus) -> bool:
    return node.state == "running" and all(map(_runs, node.children))


class Lazy(Mapping[str, Any]):
    """A context that raises when it is iterated."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no item")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no iteration")

    def __len__(self) -> int:
        return 3
