"""Runs CPython's own test suite for asyncio, test.test_asyncio, with hostler's loop as the loop.

    python run_test_asyncio.py --extension target/release/libhostler_python.so [NAME ...]

It tests the Python that runs it, so the extension must have been built for that Python. NAMEs (a module such
as `test_tasks`, or `test_tasks.Class` or `test_tasks.Class.test`) leave out everything else.
`--loop cpython` runs the same tests with asyncio's own loop, to compare.

Every test module runs in a process of its own. `skip.txt` beside this file names the tests that are left out,
with reasons. The run fails if a test fails that is not named there, or if a name there is no test's.
A test that takes longer than --timeout ends its process with a traceback, fails, and the next tests go on.
"""

import argparse
import asyncio
import collections
import contextlib
import faulthandler
import fnmatch
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
SUITE = "test.test_asyncio"


def main():
    options = arguments()
    if options.module:
        return run_module(options)
    return run_all(options)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="run these alone")
    parser.add_argument("--extension", type=pathlib.Path, help="the built extension")
    parser.add_argument("--loop", choices=["hostler", "cpython"], default="hostler")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one test")
    parser.add_argument("--verbose", action="store_true", help="print every test's name")
    parser.add_argument("--module", help=argparse.SUPPRESS)
    parser.add_argument("--events", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop == "hostler" and not options.extension:
        parser.error("--extension is needed: the file that `cargo build -p hostler-python` made")
    return options


# What is left out.


class Skips:
    """The entries of `skip.txt` for this Python: a pattern for a test's name, and the reason."""

    def __init__(self, file=HERE / "skip.txt"):
        self.file = file
        self.reasons = dict(self._entries())
        self.unused = set(self.reasons)

    def _entries(self):
        for number, line in enumerate(self.file.read_text().splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.split(None, 2)
            if len(fields) < 3:
                raise SystemExit(f"{self.file}:{number}: VERSIONS NAME REASON are wanted, not {line!r}")
            versions, name, reason = fields
            if concerns(versions):
                yield name, reason

    def reason(self, test):
        """Why this test is left out; None if it runs."""
        reason = None
        for pattern in self.reasons:
            if fnmatch.fnmatchcase(test, pattern) or test.startswith(pattern + "."):
                self.unused.discard(pattern)
                reason = self.reasons[pattern]
        return reason


def concerns(versions):
    """Whether `all`, `3.12`, `3.12+` or `3.10-3.11` means this Python."""
    here = sys.version_info[:2]
    if versions == "all":
        return True
    first, dash, last = versions.rstrip("+").partition("-")
    low = number(first)
    high = number(last) if dash else low
    return low <= here and (versions.endswith("+") or here <= high)


def number(version):
    major, minor = version.split(".")
    return int(major), int(minor)


# The parent: one process for each module.


def run_all(options):
    modules = suite_modules()
    skips = Skips()
    tally = collections.Counter()
    failed, reruns = [], []
    began = time.monotonic()
    for module in modules:
        if not asked(options.names, module):
            continue
        counts, failures = run_in_child(options, module, skips)
        if failures:
            counts, failures, again = run_again(options, module, skips, counts, failures)
            reruns += again
        tally += counts
        failed += failures
        print(f"{module}: {told(counts)}", flush=True)
    rotten = sorted(skips.unused) if not options.names else []
    return summary(options, tally, failed, reruns, rotten, time.monotonic() - began)


def suite_modules():
    spec = importlib.util.find_spec(SUITE)
    if spec is None:
        raise SystemExit(f"{sys.executable} came without {SUITE}")
    found = pathlib.Path(spec.origin).parent.glob("test_*.py")
    return sorted(path.stem for path in found)


def asked(names, test):
    """Whether the names on the command line leave this test (or a test of this module) in."""
    inside = (test == name or test.startswith(name + ".") or name.startswith(test + ".") for name in names)
    return not names or any(inside)


def run_in_child(options, module, skips, only=None):
    """Runs a module, with another process after every test that killed one."""
    if only is None and skips.reason(module):
        return collections.Counter(listed=1), []
    with tempfile.TemporaryDirectory() as scratch:
        events = pathlib.Path(scratch, "events")
        events.touch()
        while True:
            killed = child(options, module, events, scratch, only or options.names)
            results = read_events(events)
            running = [name for name, kind in results.items() if kind == "started"]
            if not killed:
                break
            if not running:
                results[module] = "failed"
                print(f"{module} ended with {killed} outside of a test")
                break
            for name in running:
                print(f"{name} did not end: {killed}", flush=True)
                write_event(events, "failed", name)
    used = (name for name, kind in results.items() if kind == "listed")
    for name in used:
        skips.reason(name)
    counts = collections.Counter({"passed": "ran"}.get(kind, kind) for kind in results.values())
    failures = [name for name, kind in results.items() if kind == "failed"]
    counts["ran"] += len(failures)
    return counts, failures


def run_again(options, module, skips, counts, failures):
    """Tests that depend on time fail on a busy machine: what failed has a second try in another process."""
    print(f"{module}: {', '.join(failures)} once more")
    again, failed = run_in_child(options, module, skips, only=failures)
    passed = [name for name in failures if name not in failed]
    counts["failed"] = len(failures) - len(passed)
    return counts, [name for name in failures if name not in passed], passed


def child(options, module, events, scratch, names):
    """Returns None, or how a child ended that did not finish."""
    command = [sys.executable, "-X", "faulthandler", __file__, "--module", module, "--events", str(events)]
    command += ["--loop", options.loop, "--timeout", str(options.timeout)]
    if options.extension:
        command += ["--extension", str(options.extension.resolve())]
    if options.verbose:
        command += ["--verbose"]
    # In a session of its own, so that what a test left running ends with it.
    running = subprocess.Popen(
        [*command, *names], cwd=scratch, env=environment(), stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        status = running.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    return None if status == 0 else f"exit status {status}"


def environment():
    """Ours, without what changes the defaults that tests look at."""
    dropped = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def read_events(events):
    results = {}
    for line in events.read_text().splitlines():
        kind, name = line.split(" ", 1)
        results[name] = kind
    return results


def write_event(events, kind, name):
    with open(events, "a") as file:
        file.write(f"{kind} {name}\n")


def told(counts):
    """What is counted: tests that ran, that skipped themselves, that are on the list, that failed."""
    return ", ".join(f"{kind} {counts[kind]}" for kind in ("ran", "skipped", "listed", "failed"))


def summary(options, tally, failed, reruns, rotten, seconds):
    print()
    for name in failed:
        print(f"FAILED {name}")
    for name in reruns:
        print(f"passed at the second try: {name}")
    for name in rotten:
        print(f"skip.txt names {name}, which is no test of Python {sys.version.split()[0]}")
    tally["failed"] = len(failed)
    print(f"Python {sys.version.split()[0]}, {options.loop}'s loop: {told(tally)}, in {seconds:.0f} s")
    return 1 if failed or rotten else 0


# The child: one module of the suite.


def run_module(options):
    if options.loop == "hostler":
        install(options)
    skips = Skips()
    done = read_events(pathlib.Path(options.events))
    tests = unittest.defaultTestLoader.loadTestsFromName(f"{SUITE}.{options.module}")
    chosen = unittest.TestSuite()
    for test in flat(tests):
        name = short(test)
        if name in done or not asked(options.names, name):
            continue
        if skips.reason(name):
            write_event(options.events, "listed", name)
        else:
            chosen.addTest(test)
    runner = unittest.TextTestRunner(resultclass=result_class(options), verbosity=0)
    faulthandler.enable()
    # A shell's background jobs ignore it, and tests are about it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    runner.run(chosen)
    check_that_it_was_used(options, done)
    sys.stderr.flush()
    # Tests of abandoned executors leave threads that a plain exit would wait for.
    os._exit(0)


def install(options):
    """Makes hostler's loop the one that asyncio's factories and names give."""
    sys.path.insert(0, str(HERE))
    from hostler_loop import load, make_default

    # Its loop is CPython's own class, made before we replace what that is called.
    from test.test_asyncio import utils

    loop = adapted(load(options.extension))
    make_default(loop)
    asyncio.BaseEventLoop = loop
    if options.module == "test_base_events":
        asyncio.base_events.BaseEventLoop = loop
    utils.TestCase.new_test_loop = new_test_loop(utils, loop)


def new_test_loop(utils, loop):
    """The suite's own loop is for tests that say what time it is; the others have ours."""

    def new_test_loop(test, gen=None):
        made = loop() if gen is None else utils.TestLoop(gen)
        test.set_event_loop(made)
        return made

    return new_test_loop


def adapted(EventLoop):
    """hostler's loop, made as the tests make CPython's: with a selector, which it has no use for."""

    class LoopUnderTest(EventLoop):
        made = 0

        def __init__(self, selector=None):
            if selector is not None:
                selector.close()
            super().__init__()
            LoopUnderTest.made += 1

        @property
        def _selector(self):
            return self._selector_in_use

        @_selector.setter
        def _selector(self, selector):
            """Tests put mocks in its place. Our core waits for the real one, so it stays behind them."""
            if isinstance(selector, mock.NonCallableMock):
                selector = mock.Mock(wraps=self._selector_in_use)
            self._selector_in_use = selector

    LoopUnderTest.__name__ = LoopUnderTest.__qualname__ = "_UnixSelectorEventLoop"
    return LoopUnderTest


def check_that_it_was_used(options, done):
    """A module that makes no loop tests nothing of ours, and belongs on the list."""
    whole = not options.names and not done
    if whole and options.loop == "hostler" and not asyncio.SelectorEventLoop.made:
        print(f"{options.module} made no event loop: name it in skip.txt", flush=True)
        write_event(options.events, "failed", options.module)


def flat(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def short(test):
    return test.id().removeprefix(SUITE + ".")


def result_class(options):
    class Result(unittest.TextTestResult):
        """Tells the parent how each test ended, and ends the process when one hangs."""

        def startTest(self, test):
            super().startTest(test)
            self._ended = "passed"
            if options.verbose:
                print(short(test), flush=True)
            write_event(options.events, "started", short(test))
            faulthandler.dump_traceback_later(options.timeout, exit=True)

        def stopTest(self, test):
            faulthandler.cancel_dump_traceback_later()
            # One that fails inside of a loop should not take the next ones with it.
            asyncio._set_running_loop(None)
            write_event(options.events, self._ended, short(test))
            super().stopTest(test)

        def addError(self, test, error):
            super().addError(test, error)
            self._failed(test)

        def addFailure(self, test, error):
            super().addFailure(test, error)
            self._failed(test)

        def addUnexpectedSuccess(self, test):
            super().addUnexpectedSuccess(test)
            self._failed(test)

        def addSubTest(self, test, subtest, error):
            super().addSubTest(test, subtest, error)
            if error is not None:
                self._failed(test)

        def addSkip(self, test, reason):
            super().addSkip(test, reason)
            self._ended = "skipped"

        def _failed(self, test):
            self._ended = "failed"
            if not isinstance(test, unittest.TestCase):
                # setUpClass and the like, which are no tests.
                write_event(options.events, "failed", test.id().replace(SUITE + ".", ""))

    return Result


if __name__ == "__main__":
    sys.exit(main())
