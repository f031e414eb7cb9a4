"""Runs the tests of libraries that use asyncio, with asyncio's own loop and with hostler's, and compares.

    python run_suites.py --extension target/release/libhostler_python.so [NAME ...]

The interpreter must have what `requirements.txt` beside this file names (`cargo xtask eventloop --suites` sees to
that). The libraries come from there; their tests come from their source distributions, which are downloaded once
to --cache. The run fails if a test fails with hostler's loop and not with asyncio's.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Suite:
    """A library's tests. `package` is its source, which is taken away so that the installed one is tested."""

    name: str
    package: str
    arguments: list
    # Tests that are left out, with reasons.
    without: dict = dataclasses.field(default_factory=dict)
    redis: bool = False


SUITES = [
    Suite("anyio", "src", ["tests", "-k", "asyncio and not uvloop", "-m", "not network"]),
    Suite("httpx", "httpx", ["tests", "-m", "not network"]),
    Suite("starlette", "starlette", ["tests", "-k", "not trio"]),
    # Left out: what measures, and what needs strawberry, a GraphQL library.
    Suite(
        "fastapi",
        "fastapi",
        ["tests", "--ignore=tests/benchmarks", "--ignore=tests/test_tutorial/test_graphql", "-k", "not trio"],
    ),
    Suite(
        "aiohttp",
        "aiohttp",
        # The client, and the parts of the server that have sockets; the rest of its 5000 tests has no loop at work.
        [
            *(f"tests/test_{name}.py" for name in (
                "client_functional", "client_session", "client_ws", "client_ws_functional", "connector",
                "proxy_functional", "run_app", "web_functional", "web_server", "web_websocket_functional",
            )),
            "-m", "not dev_mode and not autobahn and not internal", "-n0",
        ],
        without={
            "tests/test_web_functional.py::test_keepalive_expires_on_time": "puts a mock for `loop.time`; our "
            "core has its own clock",
            "tests/test_run_app.py::TestShutdown::test_shutdown_close_websockets": "counts on descriptors being "
            "looked at in every turn; see docs/EVENT_LOOP.md",
        },
    ),
    # Left out: what needs redis-entraid, a cluster, modules of Redis or a server with TLS.
    Suite(
        "redis",
        "redis",
        [
            "tests/test_asyncio", "--ignore=tests/test_asyncio/test_credentials.py",
            "--ignore=tests/test_asyncio/test_scenario", "-m", "not onlycluster and not redismod and not ssl",
        ],
        redis=True,
    ),
    # Its tests of asyncio's loop, with which uvloop is compared.
    Suite(
        "uvloop",
        "uvloop",
        ["tests", "-k", "AIO or Asyncio or asyncio"],
        without={
            "tests/test_udp.py::Test_AIO_UDP::test_socketpair": "takes any loop that is not named asyncio.* for "
            "uvloop, and asks it for what CPython's datagram transport cannot do",
        },
    ),
]


def main():
    options = arguments()
    wanted = [suite for suite in SUITES if not options.names or suite.name in options.names]
    rows = [compare(options, suite) for suite in wanted]
    print("\n| suite | asyncio's loop | hostler's loop | fails with hostler's alone |\n|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row[:3]) + f" | {len(row[3])} |")
    for row in rows:
        for test in row[3]:
            print(f"{row[0]}: with hostler's loop alone fails {test}")
    return 1 if any(row[3] for row in rows) else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(suite.name for suite in SUITES))
    parser.add_argument("--extension", type=pathlib.Path, required=True, help="the built extension")
    parser.add_argument("--cache", type=pathlib.Path, default=HERE.parent.parent / "target/suites")
    parser.add_argument("--timeout", type=int, default=480, help="seconds for one suite with one loop")
    options = parser.parse_args()
    options.extension = options.extension.resolve()
    options.cache = options.cache.resolve()
    return options


def compare(options, suite):
    """A row of the table: name, results with either loop, and what fails with ours alone."""
    sources = fetched(options, suite)
    own = run(options, suite, sources, extension=None)
    ours = run(options, suite, sources, extension=options.extension)
    alone = sorted(ours.failed - own.failed)
    if ours.unfinished:
        alone.append(f"the run as a whole, which {ours.unfinished}")
    return suite.name, str(own), str(ours), alone


# Fetching.


def fetched(options, suite):
    """The unpacked source distribution of the installed version, without the library itself."""
    version = installed(suite.name)
    sources = options.cache / f"{suite.name}-{version}"
    if not sources.exists():
        options.cache.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", suite.name]
        subprocess.run([*pip, "--dest", options.cache, f"{suite.name}=={version}"], check=True)
        with tarfile.open(options.cache / f"{suite.name}-{version}.tar.gz") as archive:
            archive.extractall(options.cache, filter="data")
        shutil.rmtree(sources / suite.package)
    return sources


def installed(name):
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"{sys.executable} lacks {name}: pip install -r {HERE}/requirements.txt") from None


# Running.


@dataclasses.dataclass
class Results:
    passed: int = 0
    skipped: int = 0
    failed: set = dataclasses.field(default_factory=set)
    seconds: float = 0
    unfinished: str = ""

    def __str__(self):
        told = f"{self.passed} passed, {len(self.failed)} failed, {self.skipped} skipped, {self.seconds:.0f} s"
        return f"{told} ({self.unfinished})" if self.unfinished else told


def run(options, suite, sources, extension):
    loop = "hostler" if extension else "asyncio"
    report = options.cache / f"{suite.name}-{loop}.xml"
    log = options.cache / f"{suite.name}-{loop}.log"
    report.unlink(missing_ok=True)
    print(f"{suite.name} with {loop}'s loop: {log}", flush=True)
    began = time.monotonic()
    with redis_server(options) if suite.redis else contextlib.nullcontext([]) as more, open(log, "w") as output:
        command = [sys.executable, "-m", "pytest", "-p", "hostler_loop_plugin", "-q", f"--junitxml={report}"]
        command += [*suite.arguments, *more, *(f"--deselect={test}" for test in suite.without)]
        ended = finish(command, sources, environment(extension), output, options.timeout)
    results = read(report)
    results.seconds = time.monotonic() - began
    made = re.search(r"hostler's loops made: (\d+)", log.read_text(errors="replace"))
    if ended == "timeout":
        results.unfinished = f"took longer than {options.timeout} s"
    elif not results.passed:
        results.unfinished = f"ended with exit status {ended}; see {log}"
    elif extension and not (made and int(made[1])):
        results.unfinished = "did not use hostler's loop"
    return results


def finish(command, directory, environment, output, timeout):
    """Runs a command; the whole group of its processes ends with it."""
    child = subprocess.Popen(
        command, cwd=directory, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return child.wait(timeout)
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, 9)
        child.wait()


def environment(extension):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept["PYTHONPATH"] = str(HERE)
    if extension:
        kept["HOSTLER_EXTENSION"] = str(extension)
    return kept


def read(report):
    results = Results()
    if not report.exists():
        return results
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            results.failed.add(name)
        elif "skipped" in kinds:
            results.skipped += 1
        else:
            results.passed += 1
    return results


@contextlib.contextmanager
def redis_server(options):
    """A redis-server on a free port, and the argument that tells the tests of it."""
    if not shutil.which("redis-server"):
        raise SystemExit("redis-server is needed for the suite redis: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    server = subprocess.Popen(command, cwd=options.cache, stdout=subprocess.DEVNULL)
    try:
        until_open(port)
        yield [f"--redis-url=redis://127.0.0.1:{port}/0"]
    finally:
        server.terminate()
        server.wait()


def until_open(port):
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise SystemExit("redis-server did not open its port in 10 s")


if __name__ == "__main__":
    sys.exit(main())
