"""The configuration of a tree, and where each value of it comes from.

Lowest first: the defaults; `upright.toml` (the path given to `boot()`, else `UPRIGHT_CONFIG`, else the file in the
current folder if there is one); `feature-flags.json` for the flags; variables `UPRIGHT_GROUP__KEY`; the mapping given
to `boot()`. A `Config` that is given holds alone. The rules are those of the option dataclasses, which stand beside
what they configure.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from upright.strategies.breaker_options import BreakerOptions
from upright.strategies.control_options import ControlOptions
from upright.strategies.errors import ConfigError
from upright.strategies.flags import Flags
from upright.strategies.foreign import is_mapping, is_of
from upright.strategies.healing_options import HealingOptions
from upright.strategies.limit_options import LimitOptions
from upright.strategies.predictor_options import PredictorOptions
from upright.strategies.retry import RetryPolicy
from upright.strategies.sentry_options import SentryOptions
from upright.strategies.supervision_options import SupervisionOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from upright.settings.sources import Reading

__all__ = ["CONFIG_FILE", "FLAGS_FILE", "Config", "Effective", "explain", "load_config"]

CONFIG_FILE = "upright.toml"
"""The file that is read from the current folder unless another one is named."""

FLAGS_FILE = "feature-flags.json"
"""The flags file that is read from the current folder unless `UPRIGHT_FEATURE_FLAGS` names another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set about a tree.

    Attributes:
        flags: Which stages act at boot; `tree.flags` switches them while it runs.
        supervision: How patient the supervisors are.
        healing: How long and how often a failure is healed.
        breaker: When circuits trip and how they probe.
        retry: How failed calls are made again.
        predictor: How the host is watched.
        sentry: What is sent to Sentry.
        control: Whether and where the tree can be reached from other processes.
        limits: How much is remembered.
        operations: What holds for single operations instead, by name: options of the circuit breaker, those of
            the retry policy with the prefix `retry_`, `heal_wait`, `deadline`, `idempotent`.
        flags_file: The feature-flags.json that the flags were read from, to be read again by `tree.flags.reload()`.
        origins: Where values that are no defaults came from, by dotted path.

    Raises:
        ConfigError: A group is not of its type, or the overrides of an operation break a rule.
    """

    flags: Flags = field(default_factory=Flags)
    supervision: SupervisionOptions = field(default_factory=SupervisionOptions)
    healing: HealingOptions = field(default_factory=HealingOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    predictor: PredictorOptions = field(default_factory=PredictorOptions)
    sentry: SentryOptions = field(default_factory=SentryOptions)
    control: ControlOptions = field(default_factory=ControlOptions)
    limits: LimitOptions = field(default_factory=LimitOptions)
    operations: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    flags_file: Path | None = field(default=None, compare=False)
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False, repr=False)

    def __post_init__(self) -> None:
        for one in fields(self)[:9]:
            group, value = one.default_factory, getattr(self, one.name)
            if not is_of(value, group):  # type: ignore[arg-type]
                raise ConfigError(f"Config.{one.name}", value, f"{group.__name__}")  # type: ignore[union-attr]
        if self.operations and not self.origins:
            self._check_operations()

    def _check_operations(self) -> None:
        """Check overrides that were given in code; those from sources were checked with their origins."""
        from upright.settings.sources import from_mapping  # noqa: PLC0415 - only where there are any

        own = {one.name: getattr(self, one.name) for one in fields(self)[:10]}
        built = _built([from_mapping(own)])
        object.__setattr__(self, "operations", built.operations)

    @property
    def observe_only(self) -> bool:
        """Whether everything decides and records, and nothing acts."""
        return self.flags.observe_only


@dataclass(frozen=True, slots=True)
class Effective:
    """One value that holds.

    Attributes:
        path: Its dotted path.
        value: The value.
        origin: "default", or the file and key, the variable, or "the code".
    """

    path: str
    value: Any
    origin: str


def load_config(
    source: Config | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Config:
    """Put the configuration together from all sources.

    Args:
        source: What the code gives: a mapping nested as in upright.toml, which wins over all others; a path, read
            instead of the file that would be found; or a Config, which is returned as it is.
        environ: The environment; None is the process's.
        cwd: Where `upright.toml` and `feature-flags.json` are looked for; None is the current folder.

    Raises:
        SettingsError: Any key or value is wrong, in whichever source. Tells all of them. (A ConfigError.)
    """
    if is_of(source, Config):
        return source
    environ = os.environ if environ is None else environ
    path = _path(source)
    if not (source is None or is_mapping(source) or path is not None):
        raise ConfigError("boot.config", source, "None, a mapping, a path or a Config")
    folder = Path() if cwd is None else Path(cwd)
    config_file, config_named = _file(path, environ, folder)
    flags_file, flags_named = _flags_file(environ, folder)
    variables = any(name.startswith("UPRIGHT_") for name in environ)
    if source is None and not (variables or _may_exist(config_file) or _may_exist(flags_file)):
        return Config()

    from upright.settings.sources import from_environ, from_flags, from_mapping, from_toml  # noqa: PLC0415

    readings = [
        from_toml(config_file, named_by=config_named),
        from_flags(flags_file, named_by=flags_named),
        from_environ(environ),
    ]
    if is_mapping(source):
        readings.append(from_mapping(source))
    built = _built(readings)
    return Config(
        **built.groups,
        operations=built.operations,
        flags_file=flags_file if flags_named or readings[1].settings else None,
        origins=MappingProxyType(built.origins),
    )


def _built(readings: list[Reading]) -> Any:
    """Build what the readings say.

    Raises:
        SettingsError: They say anything wrong.
    """
    from upright.settings.build import Build  # noqa: PLC0415 - not needed for the defaults
    from upright.settings.problems import SettingsError  # noqa: PLC0415 - as above

    built = Build(setting for reading in readings for setting in reading.settings)
    problems = [problem for reading in readings for problem in reading.problems] + built.problems
    if problems:
        raise SettingsError(problems)
    return built


def _path(source: Any) -> str | None:
    """Return a source as a path; None if it is none."""
    try:
        path = os.fspath(source)
    except Exception:  # a TypeError; and whatever a path of the application's own class raises
        return None
    return str.__str__(path) if is_of(path, str) else None


def _may_exist(path: Path) -> bool:
    """Whether there is a file, or something in the way of knowing that: to be told of when it is read."""
    try:
        return path.exists()
    except OSError:
        return True


def _file(path: str | None, environ: Mapping[str, str], folder: Path) -> tuple[Path, str | None]:
    """Return the configuration file and what named it; None: it may be missing."""
    if path is not None:
        return folder / path, "the path given to boot()"
    if environ.get("UPRIGHT_CONFIG"):
        return folder / environ["UPRIGHT_CONFIG"], "environment variable UPRIGHT_CONFIG"
    return folder / CONFIG_FILE, None


def _flags_file(environ: Mapping[str, str], folder: Path) -> tuple[Path, str | None]:
    if environ.get("UPRIGHT_FEATURE_FLAGS"):
        return folder / environ["UPRIGHT_FEATURE_FLAGS"], "environment variable UPRIGHT_FEATURE_FLAGS"
    return folder / FLAGS_FILE, None


def explain(config: Config) -> list[Effective]:
    """Return every effective value and where it came from, in the order of the documentation."""
    rows = [row for one in fields(config)[:9] for row in _rows(config, one.name, getattr(config, one.name))]
    for operation, table in config.operations.items():
        rows += [_row(config, f"operations.{operation}.{key}", value, "the code") for key, value in table.items()]
    return rows


def _rows(config: Config, path: str, options: Any) -> Iterator[Effective]:
    for one in fields(options):
        value = getattr(options, one.name)
        if hasattr(value, "__dataclass_fields__"):
            yield from _rows(config, f"{path}.{one.name}", value)
        else:
            default = value == getattr(type(options)(), one.name)
            yield _row(config, f"{path}.{one.name}", value, "default" if default else "the code")


def _row(config: Config, path: str, value: Any, otherwise: str) -> Effective:
    return Effective(path, value, config.origins.get(path, otherwise))
