"""Imports the application as a worker does, and prints how that went as JSON."""

import json
import os
import sys
import time
from importlib.machinery import ExtensionFileLoader as loader
from importlib.util import module_from_spec, spec_from_file_location

# What the application prints must not be taken for the answer.
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
path, asked = sys.argv[1], json.loads(sys.argv[2])
sys.argv[:] = ["hostler"]
spec = spec_from_file_location("_hostler", path, loader=loader("_hostler", path))
extension = module_from_spec(spec)
sys.modules["_hostler"] = extension
spec.loader.exec_module(extension)

from hostler import _load

os.environ["HOSTLER_WORKER"] = "1"
os.environ["HOSTLER_GENERATION"] = "0"
began = time.monotonic()
try:
    app, interface = _load.load(**asked)
    result = {"interface": interface, "seconds": time.monotonic() - began}
except _load.LoadError as error:
    result = {"kind": error.kind, "message": str(error), "cause": error.cause, "hint": error.hint}
except BaseException as error:
    result = {"kind": "import", "message": f"could not load `{asked['target']}`", "cause": _load._traceback(error)}
json.dump(result, answer)
answer.flush()
sys.stdout.flush()
sys.stderr.flush()
# Threads of the application may never end.
os._exit(0)
