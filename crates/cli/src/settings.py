"""Executes a peer's file of settings, and prints those of its variables that are settings, as JSON: functions and classes as their names."""

import importlib
import importlib.util
import json
import os
import sys

# What the file prints goes to standard error.
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
sys.path.insert(0, os.getcwd())


def variables(location):
    if location.startswith("python:"):
        return vars(importlib.import_module(location[len("python:") :]))
    path = location[len("file:") :] if location.startswith("file:") else location
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location("__config__", path)
    if spec is None or spec.loader is None:
        # Any name will do.
        module = type(sys)("__config__")
        module.__file__ = path
        with open(path) as file:
            exec(compile(file.read(), path, "exec"), vars(module))
        return vars(module)
    module = importlib.util.module_from_spec(spec)
    sys.modules["__config__"] = module
    spec.loader.exec_module(module)
    return vars(module)


def plain(value):
    if value is None or isinstance(value, (bool, int, float, str)):
        return int(value) if type(value) is not bool and isinstance(value, int) else value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, type) or callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{getattr(value, '__module__', '')}.{name}"
    return repr(value)


found = variables(sys.argv[1])
settings = {name: plain(found[name]) for name in sys.argv[2].split(",") if name in found}
print(json.dumps(settings), file=out)
out.flush()
# Threads of the file may never end, and what it printed may be in a buffer.
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
