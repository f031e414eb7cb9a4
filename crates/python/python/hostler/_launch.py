"""Starts the program from Python: `hostler.run` and `python -m hostler`."""

import os
import shutil
import sys
import sysconfig
import threading

PROGRAM = "hostler"


#: The program of this process (proc(5)).
_RUNNING = "/proc/self/exe"


def is_within_server():
    """Whether this is a process of a server: the package is in the program then, and in no file."""
    return "__file__" not in globals()


def program():
    """The path of the program that was installed with this package, else of the one on PATH; HOSTLER overrides both.

    Raises FileNotFoundError if there is none.
    """
    given = os.environ.get("HOSTLER")
    if given:
        return shutil.which(given) or given
    if is_within_server():
        return _RUNNING
    for directory in _script_directories():
        path = os.path.join(directory, PROGRAM)
        if os.access(path, os.X_OK):
            return path
    found = shutil.which(PROGRAM)
    if found is None:
        raise FileNotFoundError(
            f"the program `{PROGRAM}` is neither installed beside {sys.executable} nor on PATH: "
            "run `pip install hostler` with this Python, or name the program in the environment variable HOSTLER"
        )
    return found


def _script_directories():
    yield sysconfig.get_path("scripts")
    yield sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    # pip install --target
    yield os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin")


def start(arguments):
    """Replaces this process by the program, with this Python for its workers unless another is named."""
    os.environ["HOSTLER_LAUNCHED_BY"] = sys.executable
    path = program()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.execv(path, [PROGRAM, *arguments])


def run(app, options):
    """See `hostler.run`."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "hostler.run replaces the process, so it must be called in the main thread; "
            "hostler.testing.serve starts a server beside a test"
        )
    start([_target(app), *_arguments(options)])


def _arguments(options):
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is None:
            continue
        if value is True:
            yield option
        elif value is False:
            yield "--no-" + option[2:]
        elif isinstance(value, (list, tuple, set, frozenset)):
            yield from (f"{option}={item}" for item in value)
        else:
            yield f"{option}={value}"


def _target(app):
    """The application as `module:attribute`."""
    if isinstance(app, str):
        return app
    main = sys.modules["__main__"]
    attribute = next((name for name, value in vars(main).items() if value is app), None)
    module = _importable(main)
    if attribute is None or module is None:
        raise TypeError(
            "hostler.run needs the application as 'module:attribute', because each worker imports it for itself; "
            "an object can be given if it is a global name of the script that is run, "
            "and the script a file that can be imported: `name.py`"
        )
    return f"{module}:{attribute}"


def _importable(main):
    """The name by which workers import the script that is run; None if they cannot."""
    if main.__spec__ is not None:
        # python -m package.module; of a directory or an archive it is `__main__`.
        return main.__spec__.name if main.__spec__.name != "__main__" else None
    directory, name = os.path.split(os.path.abspath(getattr(main, "__file__", None) or ""))
    name, kind = os.path.splitext(name)
    if kind != ".py" or not name.isidentifier():
        return None
    # As Python has the script's directory first.
    paths = [directory, os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return name
