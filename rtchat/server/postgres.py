"""Runs a real PostgreSQL of our own, for `rtchat dev`, tests and benches.

Owns: a directory with one database cluster (`pg/`), its password, port and log, and the server
process on it, from `start` to `stop`.
Must never: listen elsewhere than on 127.0.0.1, run on a directory that another run uses, weaken
durability by itself, or leave a server behind.
Lost in a crash: nothing that was committed. A directory is complete or not there: `initdb` works in
`pg.new`, which becomes `pg` only at the end. After a SIGKILL of everything the next `start` waits
until the processes of the last run are gone, and PostgreSQL recovers.

Two locks guard a directory. `lock` is held by the launcher: a second one is told so at once.
`lock.server` is inherited by PostgreSQL's processes and by `initdb`, so it is free when, and only
when, all of them are gone; process ids, which are used again, are never asked.
"""

import locale
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rtchat.server.account import (
    CLUSTER,
    account_for,
    make_directory,
    open_private,
    require_name,
)
from rtchat.server.binaries import Binaries, find_postgres, stage
from rtchat.server.launch import (
    Account,
    LaunchError,
    end,
    free_port,
    last_lines,
    lock,
    run,
    signal_tree,
    spawn,
)

NAME = "rtchat"  # of the superuser and of the database
READY_S = 30.0  # a start takes 0.1 s; recovery after a crash may take longer
EARLIER_S = 15.0  # an orphan is told to end by the kernel, and has a checkpoint to write
FAST_S, IMMEDIATE_S = 7.0, 2.0  # `stop` ends within 10 s
LOG_BYTES_MAX = 16_000_000  # beyond it the log is begun anew at a start, the old one kept once


class EmbeddedPostgres:
    """One PostgreSQL server. Whoever starts it stops it; all methods block, in the main thread."""

    def __init__(
        self,
        data: Path,
        settings: Mapping[str, str] | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        ready_s: float = READY_S,
    ) -> None:
        self.data = data.resolve()
        self.settings = dict(settings or {})
        self.port: int | None = None  # set by the first start, then kept
        self.binaries: Binaries | None = None  # set by `start`
        self._environ = environ
        self._ready_s = ready_s
        self._account: Account | None = None
        self._password = ""
        self._lock: int | None = None  # held from `start` to `stop`, over a `kill` too
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def summary(self) -> str:
        """One line for the terminal, without the password."""
        taken = self.binaries.summary if self.binaries else "PostgreSQL, not started"
        return f"{taken} on {self._url('')}, data in {self.data}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where to connect, with the password: not for logs."""
        return self._url(f":{self._password}")

    def _url(self, password: str) -> str:
        return f"postgresql://{NAME}{password}@127.0.0.1:{self.port}/{NAME}"

    @property
    def pid(self) -> int:
        """The server's process id, while it runs."""
        assert self._child is not None, "not running"
        return self._child.pid

    def start(self) -> None:
        """Start, and return when connections are accepted. After `kill`: on the same port.

        Raises LaunchError, and then leaves nothing running or locked.
        """
        assert self._child is None, "runs already"
        try:
            self._start()
        except OSError as error:
            self.stop()
            raise LaunchError(f"PostgreSQL cannot be started on {self.data}: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server: connections are cut, all is written. Free of effect when not running."""
        if self._child is not None:
            self.send_signal(signal.SIGCONT)  # a frozen process would ignore all but SIGKILL
            if not end(self._child, (signal.SIGINT, FAST_S), (signal.SIGQUIT, IMMEDIATE_S)):
                self.kill()
        self._child = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def kill(self) -> None:
        """SIGKILL all of the server's processes at once; `start` then finds a crashed server."""
        if self._child is not None:
            # The first one alone: it forks no more. Were it dying already, its children would be
            # out of sight for the second signal, and stay frozen for ever.
            self._child.send_signal(signal.SIGSTOP)
            self.send_signal(signal.SIGKILL)
            self._child.wait()
            self._child = None

    def send_signal(self, signum: signal.Signals) -> None:
        """Signal all of the server's processes (SIGSTOP freezes it, SIGCONT thaws it)."""
        signal_tree(self.pid, signum)

    # --- the steps of a start

    def _start(self) -> None:
        self._account = account_for(self.data)
        make_directory(self.data, self._account)
        self._lock_directory()
        servers = self._wait_for_earlier_servers()
        try:
            self.binaries = self._find()
            if not (self.data / CLUSTER).exists():
                self._initialise(self.binaries, servers)
            self._password = self._read("password")
            if not self._password:
                raise LaunchError(
                    f"{self.data / 'password'} is missing, so nobody can connect to the database"
                    f" beside it. Put the file back, or move {self.data} away to begin anew."
                )
            self._launch(self.binaries, servers)
        finally:
            os.close(servers)  # from here on it is the server's

    def _lock_directory(self) -> None:
        if self._lock is None:
            self._lock = open_private(self.data / "lock", os.O_RDWR, self._account)
        if not lock(self._lock):
            raise LaunchError(
                f"{self.data} is in use by another rtchat, process {self._read('lock') or '?'}."
                " End that one, or name another data directory."
            )
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _wait_for_earlier_servers(self) -> int:
        servers = open_private(self.data / "lock.server", os.O_RDWR, self._account)
        if lock(servers, EARLIER_S):
            return servers
        os.close(servers)
        pid = self._read(f"{CLUSTER}/postmaster.pid").partition("\n")[0]
        raise LaunchError(
            f"a PostgreSQL of an earlier run still works on {self.data}, and did not end within"
            f" {EARLIER_S:g} s. End it{f' (`kill -INT {pid}`)' if pid else ''}, then start again."
        )

    def _find(self) -> Binaries:
        """Find programs that fit the directory, reachable by the server's user."""
        version = self._read(f"{CLUSTER}/PG_VERSION")
        try:
            binaries = find_postgres(self._environ, int(version) if version else None)
        except LaunchError as error:
            if not version:
                raise
            raise LaunchError(
                f"{self.data} was made by PostgreSQL {version}, and only that can read it. {error}"
                f" Or move {self.data} away to begin anew."
            ) from error
        return stage(binaries, self._account, self.data) if self._account else binaries

    def _initialise(self, binaries: Binaries, servers: int) -> None:
        """Make the cluster, with our user and database in it."""
        require_name(self._account)
        new = self.data / f"{CLUSTER}.new"
        if new.exists():  # a start that was killed
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        if self._account:
            os.chown(new, self._account.uid, self._account.gid)
        self._write("password", secrets.token_urlsafe(24))
        initdb: list[str | Path] = [binaries.directory / "initdb", "-D", new, "-U", NAME]
        initdb += ["-A", "scram-sha-256", "--pwfile", self.data / "password"]
        initdb += ["-E", "UTF8", *_locale(binaries.major)]
        initdb += ["--no-sync"] if self.settings.get("fsync") == "off" else []
        run(initdb, account=self._account, keep=[servers])
        # Not over a connection: that needs an event loop, and a test may be inside one already.
        single: list[str | Path] = [binaries.directory / "postgres", "--single", "-D", new]
        single += ["-c", "exit_on_error=on", "postgres"]
        statement = f"CREATE DATABASE {NAME};\n"
        run(single, account=self._account, text=statement, keep=[servers])
        new.rename(self.data / CLUSTER)
        self._sync()

    def _launch(self, binaries: Binaries, servers: int) -> None:
        self.port = self.port or free_port(self._last_port())
        fixed = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
        }
        command: list[str | Path] = [binaries.directory / "postgres", "-D", self.data / CLUSTER]
        for name, value in {**self.settings, **fixed}.items():
            command += ["-c", f"{name}={value}"]
        stale = self._read(f"{CLUSTER}/postmaster.pid")
        output = self._open_log()
        begin = os.fstat(output).st_size
        try:
            self._child = spawn(command, output=output, account=self._account, keep=[servers])
        finally:
            os.close(output)
        self._wait_until_ready(self._child, stale, begin)
        self._write("port", str(self.port))

    def _wait_until_ready(self, child: subprocess.Popen[bytes], stale: str, log_begin: int) -> None:
        """Wait for the word `ready` in the eighth line of postmaster.pid, as pg_ctl does."""
        deadline = time.monotonic() + self._ready_s
        problem = f"was not ready within {self._ready_s:g} s (it may be recovering from a crash)"
        while time.monotonic() < deadline:
            status = self._read(f"{CLUSTER}/postmaster.pid")
            lines = status.splitlines()
            if status != stale and lines[0:1] == [str(child.pid)] and lines[7:] == ["ready"]:
                return
            if child.poll() is not None:
                problem = f"ended at its start ({child.returncode})"
                break
            time.sleep(0.01)
        with (self.data / "postgres.log").open("rb") as log:
            log.seek(log_begin)
            said = last_lines(log.read().decode(errors="replace"))
        raise LaunchError(
            f"{self.binaries and self.binaries.summary} {problem}."
            f" In {self.data / 'postgres.log'}:\n{said}"
        )

    # --- files

    def _last_port(self) -> int | None:
        port = self._read("port")
        return int(port) if port.isdecimal() and 1024 <= int(port) <= 65535 else None

    def _read(self, name: str) -> str:
        try:
            return (self.data / name).read_text(errors="replace").strip()
        except FileNotFoundError:
            return ""

    def _write(self, name: str, text: str) -> None:
        descriptor = open_private(self.data / name, os.O_WRONLY | os.O_TRUNC, self._account)
        with open(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)

    def _sync(self) -> None:
        """Make the rename last: a power cut must not bring back `pg.new`, to be deleted."""
        descriptor = os.open(self.data, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def _open_log(self) -> int:
        path = self.data / "postgres.log"
        if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.old"))
        return open_private(path, os.O_WRONLY | os.O_APPEND, self._account)


def _locale(major: int) -> list[str]:
    """Let the database know upper and lower case of all scripts, as one in production does.

    PostgreSQL 17 brings that along; before it, the system's C.UTF-8 has it, where there is one.
    """
    if major >= 17:
        return ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    if locale_exists("C.UTF-8"):
        return ["--locale=C.UTF-8"]
    return ["--no-locale"]


def locale_exists(name: str) -> bool:
    """Whether the system knows this locale."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    locale.setlocale(locale.LC_CTYPE, before)
    return True
