"""A pytest plugin: with HOSTLER_EXTENSION in the environment, tests get hostler's loop wherever they would get
asyncio's. `pytest -p hostler_loop_plugin`; at the end it tells how many loops were made."""

import os

from hostler_loop import load, make_default

made = 0


def pytest_configure(config):
    extension = os.environ.get("HOSTLER_EXTENSION")
    if extension:
        make_default(counted(load(extension)))


def counted(EventLoop):
    class CountedLoop(EventLoop):
        def __init__(self):
            global made
            made += 1
            super().__init__()

    return CountedLoop


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"hostler's loops made: {made}")
