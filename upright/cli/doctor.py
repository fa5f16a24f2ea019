"""`upright doctor`: is everything in place for a tree to run here, and to be looked into?"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from upright.cli.app import PROBLEM, Target, as_json, target
from upright.control_client import ControlError, find_all
from upright.strategies.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Check", "doctor_command"]

_SIGNS: Final = {"ok": ("✔", "green"), "warning": ("▲", "yellow"), "bad": ("✖", "bold red")}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        verdict: "ok", "warning" or "bad".
        text: What was found, and what to do about it unless it is ok.
    """

    name: str
    verdict: str
    text: str


@click.command("doctor", short_help="Check configuration, permissions, Sentry and versions.")
@target
@as_json
def doctor_command(target: Target, *, as_json: bool) -> None:
    """Check configuration, permissions, Sentry and versions; with --pid or --name also a running service.

    Exits with 1 if anything is bad. Warnings alone do not count.

    \b
    Examples:
      upright doctor
      upright doctor --pid 4242
    """
    from rich.text import Text

    from upright.cli.output import Output, print_json

    checks = list(_checks(target))
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        output = Output()
        for check in checks:
            sign, style = _SIGNS[check.verdict]
            output.line(Text(f"{sign} ", style), Text(f"{check.name:<14}", "bold"), check.text)
        output.print()
    if any(check.verdict == "bad" for check in checks):
        click.get_current_context().exit(PROBLEM)


def _checks(target: Target) -> Iterator[Check]:
    yield _python()
    yield from _libraries()
    yield _configuration()
    yield from _sockets()
    if target.is_given:
        yield from _running(target)
    else:
        yield _trees()
        yield _sentry_here()


def _python() -> Check:
    return Check("python", "ok", f"{sys.version.split()[0]}, {sys.executable}")


def _libraries() -> Iterator[Check]:
    from upright.commands import versions

    for name, version in versions().items():
        if name == "python":
            continue
        if version is None:
            yield Check(name, "bad", f"not installed; run: pip install --upgrade {name}")
        else:
            yield Check(name, "ok", version)


def _configuration() -> Check:
    from upright.config import explain, load_config

    try:
        config = load_config()
    except ConfigError as error:
        return Check("configuration", "bad", str(error))
    from upright.cli.words import count

    changed = sum(row.origin != "default" for row in explain(config))
    text = f"{count(changed, 'setting')} changed; `upright config` shows them" if changed else "all defaults"
    if config.observe_only:
        return Check("configuration", "warning", f"{text}; observe_only is on, so nothing will be done")
    return Check("configuration", "ok", text)


def _sockets() -> Iterator[Check]:
    from upright.actors.runtime_dir import HAS_UNIX_SOCKETS, NO_UNIX_SOCKETS, runtime_dirs

    if not HAS_UNIX_SOCKETS:
        yield Check("sockets", "warning", NO_UNIX_SOCKETS)
        return
    for folder in runtime_dirs(os.environ):
        yield _folder(folder)


def _folder(folder: Path) -> Check:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        if os.access(folder.parent, os.W_OK | os.X_OK):
            return Check("sockets", "ok", f"{folder} will be made when a tree boots")
        return Check("sockets", "bad", f"{folder} is not there and cannot be made: {folder.parent} is not writable")
    except OSError as error:
        return Check("sockets", "bad", f"{folder}: {error.strerror}")
    if not stat.S_ISDIR(found.st_mode):
        return Check("sockets", "bad", f"{folder} is not a folder; remove it")
    if found.st_uid != os.geteuid():
        return Check("sockets", "bad", f"{folder} belongs to user {found.st_uid}; ask them to remove it")
    if found.st_mode & 0o077:
        return Check("sockets", "bad", f"{folder} is open to other users; run: chmod 700 {folder}")
    return Check("sockets", "ok", f"{folder} is closed to other users")


def _trees() -> Check:
    try:
        found = find_all()
    except ControlError as error:
        return Check("trees", "warning", str(error))
    if not found:
        return Check("trees", "ok", "none is running as this user")
    return Check("trees", "ok", ", ".join(str(one) for one in found))


def _sentry_here() -> Check:
    if os.environ.get("SENTRY_DSN"):
        return Check("sentry", "ok", "SENTRY_DSN is set; `upright doctor --pid` shows whether a service uses it")
    return Check("sentry", "ok", "no SENTRY_DSN here; upright uses what the application initialises")


def _running(target: Target) -> Iterator[Check]:
    try:
        with target.connect() as client:
            about = client.call("about")
            config = {row["path"]: row["value"] for row in client.call("config")}
            status = client.call("status")
    except ControlError as error:
        yield Check("service", "bad", str(error))
        return
    yield Check("service", "ok" if status["state"] == "running" else "bad", _service(about, status))
    yield _its_sentry(about, config)
    yield _same(about)


def _service(about: dict[str, Any], status: dict[str, Any]) -> str:
    from upright.cli.words import duration

    up = duration(status["uptime"])
    return f"{about['name']} (pid {about['pid']}, {about['program']}) is {status['state']}, up {up}"


def _its_sentry(about: dict[str, Any], config: dict[str, Any]) -> Check:
    if not config.get("sentry.enabled", True):
        return Check("sentry", "warning", "switched off by sentry.enabled")
    if not about["sentry"]:
        return Check("sentry", "warning", "the service has not initialised it: nothing is sent; see sentry_sdk.init()")
    return Check("sentry", "ok", "initialised by the service")


def _same(about: dict[str, Any]) -> Check:
    from upright.commands import versions

    here, there = versions()["upright"], about["versions"].get("upright")
    if here != there:
        return Check("versions", "warning", f"the service runs upright {there}, this command is {here}")
    return Check("versions", "ok", "the service runs the same upright as this command")
