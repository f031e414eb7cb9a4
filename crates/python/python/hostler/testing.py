"""A hostler server for the duration of a test.

    from hostler.testing import serve

    with serve("shop.main:app", workers=2) as server:
        assert httpx.get(server.url + "/health").status_code == 200

The program is the one that was installed with this package, else the one on PATH, unless HOSTLER names it.
`server.log()` has the server's log, also after it exited.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hostler import _launch

__all__ = ["Server", "ServerFailed", "serve"]


class ServerFailed(RuntimeError):
    """The server did not start, or exited by itself; the message contains its log."""


class Server:
    """A running server."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self._address = ""

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{self._address}"

    @property
    def port(self) -> int:
        return int(self._address.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """The master's, to send signals to."""
        return self._process.pid

    def log(self) -> str:
        """The log so far, one JSON object in each line, and what the application printed."""
        return self._log.read_text(errors="replace")

    def stop(self, timeout: float = 30.0) -> int:
        """Stops the server gracefully, within `timeout` seconds; returns its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise ServerFailed(f"the server did not stop within {timeout} s\n{self.log()}") from None

    def _wait_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            serves = False
            for event in self._events():
                if event.get("message") == "listening":
                    self._address = event["address"]
                serves = serves or event.get("message") == "serving"
            if serves and self._address:
                return
            if self._process.poll() is not None:
                raise ServerFailed(f"the server exited with {self._process.returncode}\n{self.log()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"the server was not ready within {timeout} s\n{self.log()}")
            time.sleep(0.01)

    def _events(self) -> Iterator[dict[str, str]]:
        for line in self.log().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event


@contextmanager
def serve(
    target: str,
    *options: str,
    workers: int = 1,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    timeout: float = 30.0,
) -> Iterator[Server]:
    """Serves `module:attribute` on a free port of 127.0.0.1 with this Python, until the block ends.

    `options` are options of the command line; `env` is added to the environment; within `timeout` seconds all
    workers must be ready. Raises ServerFailed if they are not, or if the server does not stop gracefully.
    """
    try:
        program = _launch.program()
    except FileNotFoundError as error:
        raise ServerFailed(str(error)) from None
    command = [program, target, "--host", "127.0.0.1", "--port", "0", "--workers", str(workers)]
    command += ["--python", sys.executable, "--log-format", "json", *options]
    with tempfile.TemporaryDirectory(prefix="hostler-testing-") as directory:
        log = Path(directory, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=cwd, env={**os.environ, **(env or {})}
            )
        server = Server(process, log)
        try:
            server._wait_ready(timeout)
            yield server
            server.stop(timeout)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
