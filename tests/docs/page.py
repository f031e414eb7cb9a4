"""Does what one page says, in a room of its own: page.py CHECKOUT HOSTLER PYTHON PAGE."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pages
import room

# Far more than anything takes, on a machine that is busy with other tests.
DEADLINE = 60


class Program:
    """A server that a page has started: hostler, or a proxy in front of it."""

    def __init__(self, command: str, port: str, environment: dict[str, str], place: str):
        self.place, self.command = place, command
        self.log = Path(f"/srv/{time.monotonic_ns()}.log")
        # hostler writes its pid file when all workers serve. One of an earlier command may still be there.
        named = re.search(r"--pid-file[ =](\S+)", command)
        self.pid_file = Path(named[1]) if named else self.log.with_suffix(".pid")
        self.pid_file.unlink(missing_ok=True)
        environment = environment | ({} if port else {"HOSTLER_PID_FILE": str(self.pid_file)})
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["sh", "-ec", command], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait("does not serve", lambda: _listens(int(port)) if port else self.pid_file.exists())
        self.is_hostler = not port

    def _wait(self, what: str, condition):
        until(lambda: condition() or self.process.poll() is not None)
        if not condition():
            raise pages.Mistake(f"{self.place}: {self.command.strip()}\n{what}:\n{self.log.read_text()}")

    def logs(self, text: str, place: str):
        self._wait(f"the log has not what {place} says", lambda: not missing(text, self.log.read_text()))

    def stop(self):
        """hostler exits with 0; a proxy just goes."""
        if not self.is_hostler:
            os.killpg(self.process.pid, signal.SIGKILL)
        told = set()
        until(lambda: not self._tell_to_stop(told))
        try:
            status = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            status = "no exit"
        if self.is_hostler and status != 0:
            raise pages.Mistake(f"{self.place}: the server ended with {status}:\n{self.log.read_text()}")

    def _tell_to_stop(self, told: set[int]) -> bool:
        """Whether there still is a server. The page may have stopped it, or upgraded it: then there is another master."""
        try:
            master = int(self.pid_file.read_text() or 0) if self.is_hostler else 0
            if master and master not in told:
                os.kill(master, signal.SIGTERM)
                told.add(master)
        except FileNotFoundError:
            return False
        except ProcessLookupError:
            # The new one is about to write its own.
            pass
        return self.is_hostler


def until(condition):
    """Waits; the caller finds out if it was in vain."""
    end = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def missing(expected: str, printed: str) -> str | None:
    """The first line that was not printed, in this order; … is anything."""
    at = 0
    for line in filter(None, map(str.strip, expected.splitlines())):
        found = re.compile(re.escape(line.strip("…")).replace("…", ".*")).search(printed, at)
        if not found:
            return line
        at = found.end()
    return None


class Page:
    """What has been started and printed so far."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment
        self.running: list[Program] = []
        self.printed = ""

    def do(self, step: pages.Step):
        match step.kind:
            case "heading":
                self.stop()
            case "file":
                self.write(step)
            case "run each beside":
                for command in commands(step.text):
                    self.serve(step.argument, step)
                    self.run(command, step)
                    self.stop()
            case "run" | "check":
                self.printed = self.run(step.text, step)
            case "serve":
                self.serve(step.text, step)
            case "serve each":
                for command in commands(step.text):
                    self.serve(command, step)
                    self.stop()
            case "log":
                self.running[-1].logs(step.text, step.place)
            case "prints":
                if line := missing(step.text, self.printed):
                    raise pages.Mistake(f"{step.place}: {line!r} was not printed, but:\n{self.printed}")

    def serve(self, command: str, step: pages.Step):
        port = step.argument if step.kind == "serve" else ""
        self.running.append(Program(command, port, self.environment, step.place))

    def run(self, command: str, step: pages.Step) -> str:
        """Its exit code is 0, or that of the comment: `run exit 4`."""
        wanted = int(step.argument.split()[-1]) if step.kind == "run" and step.argument else 0
        printed = Path("/srv/printed")
        with printed.open("w") as output:
            process = subprocess.Popen(
                ["sh", "-ec", command], env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            try:
                status = process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                status = "no exit"
        if status != wanted:
            logs = "\n".join(program.log.read_text() for program in self.running)
            raise pages.Mistake(
                f"{step.place}: {command.strip()}\nends with {status}, not {wanted}:\n{printed.read_text()}\n{logs}"
            )
        return printed.read_text()

    def write(self, step: pages.Step):
        """`file PATH`, or `file PATH in { … }`: the block stands where … is."""
        name, _, around = step.argument.partition(" in ")
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((around or "…").replace("…", step.text))

    def stop(self):
        while self.running:
            self.running.pop().stop()
        self.printed = ""


def commands(text: str) -> list[str]:
    """The commands of a block, one for each line that does not continue the one before."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if shlex.split(line, comments=True)]


def main():
    checkout, hostler, python, page = map(Path, sys.argv[1:])
    try:
        steps = pages.read(page)
        state = Page(room.furnish(checkout, hostler, python))
        for step in steps:
            state.do(step)
        state.stop()
    except pages.Mistake as mistake:
        raise SystemExit(str(mistake)) from None


if __name__ == "__main__":
    main()
