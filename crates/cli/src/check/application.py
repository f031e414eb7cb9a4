"""Tries what a worker does with the application, up to where it would serve, and prints how that went as JSON."""

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

from hostler import _gunicorn, _lifespan, _load, _preload

os.environ["HOSTLER_WORKER"] = "1"
os.environ["HOSTLER_GENERATION"] = "0"
target = asked["load"]["target"]


def tried(work, message):
    """What came of it, or why nothing did."""
    try:
        return {"ok": work()}
    except _load.LoadError as error:
        failed = {"kind": error.kind, "message": str(error), "cause": error.cause, "hint": error.hint}
    except _lifespan.Failed as error:
        cause = _load._traceback(error.cause) if error.cause else str(error)
        hint = "correct what it reports; --interface asginl serves the application without its lifespan"
        failed = {"kind": "boot", "message": message, "cause": cause, "hint": hint}
    except BaseException as error:
        failed = {"kind": "import", "message": message, "cause": _load._traceback(error), "hint": None}
    return {"failed": failed}


def load():
    global app
    began = time.monotonic()
    app, interface = _load.load(**asked["load"])
    return {"interface": interface, "seconds": time.monotonic() - began}


def live():
    import asyncio

    async def both():
        lifespan = _lifespan.Lifespan(app, asyncio.get_running_loop())
        await lifespan.startup()
        await lifespan.shutdown()
        return lifespan.supported

    began = time.monotonic()
    return {"supported": asyncio.run(both()), "seconds": time.monotonic() - began}


result = {}
if asked["hooks"] is not None:
    result["hooks"] = tried(lambda: _gunicorn.functions(asked["hooks"]), "cannot use the hooks")
result["application"] = loaded = tried(load, f"could not load `{target}`")
if "ok" in loaded:
    if asked["preload"]:
        result["unsafe"] = list(_preload.problems())
    if asked["lifespan"] and loaded["ok"]["interface"] == "asgi":
        result["lifespan"] = tried(live, "the application's lifespan startup failed")
json.dump(result, answer)
answer.flush()
sys.stdout.flush()
sys.stderr.flush()
# Threads of the application may never end.
os._exit(0)
