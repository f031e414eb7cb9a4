"""`--log-config`: Python's logging as a file configures it, before the application is imported.

The server's Python side then writes through `hostler.error`, and the access log through `hostler.access` if the file gives
that logger a handler. A file that was written for another server configures its loggers instead, and those are used.
"""

import json
import logging
import logging.config
import os

from _hostler import log_to_python

from hostler import _load, _log

# For lines of the server, and for those of the access log; the first that a file configures is used.
ERROR = ("hostler.error", "hostler", "uvicorn.error", "uvicorn", "gunicorn.error", "_granian", "hypercorn.error")
ACCESS = ("hostler.access", "uvicorn.access", "gunicorn.access", "granian.access", "hypercorn.access")

# The logger of the access log, once a file was applied that configures one.
access = None
_applied = False


def apply(path):
    """Configures logging with this file, once in a process; `LoadError` if it cannot be used."""
    global access, _applied
    if _applied or path is None:
        return
    _applied = True
    _log.forget_others()
    try:
        _configure(path)
    except _load.LoadError:
        raise
    except Exception as error:
        raise _unusable(path, _reason(error), "it is Python's: docs.python.org/library/logging.config") from None
    error_log = next((logging.getLogger(name) for name in ERROR if _is_configured(name)), None)
    error_log = error_log or logging.getLogger("hostler.error")
    _log.use(error_log)
    log_to_python(_writer(error_log))
    access = next((logging.getLogger(name) for name in ACCESS if _has_handler(name)), None)


def _configure(path):
    suffix = os.path.splitext(path)[1].lower()
    if suffix in (".json", ".toml", ".yaml", ".yml"):
        config = _dictionary(path, suffix)
        if not isinstance(config, dict):
            raise _unusable(path, "it holds no table", "its keys are those of logging.config.dictConfig")
        # As in the defaults of Granian and Gunicorn, which add to a file what it leaves out.
        config.setdefault("version", 1)
        config.setdefault("disable_existing_loggers", False)
        logging.config.dictConfig(config)
        return
    with open(path):
        # fileConfig says of a file that is not there only that it has no section.
        pass
    defaults = {"__file__": path, "here": os.path.dirname(path)}
    logging.config.fileConfig(path, defaults=defaults, disable_existing_loggers=False)


def _dictionary(path, suffix):
    with open(path, "rb") as file:
        text = file.read()
    if suffix == ".json":
        return json.loads(text)
    if suffix == ".toml":
        try:
            import tomllib
        except ImportError:
            raise _unusable(path, "this Python reads no TOML", "use JSON, YAML or INI, or Python 3.11") from None
        return tomllib.loads(text.decode())
    try:
        import yaml
    except ImportError:
        hint = "`pip install PyYAML` into the application's environment, or use JSON, TOML or INI"
        raise _unusable(path, "PyYAML is not installed", hint) from None
    return yaml.safe_load(text)


def _reason(error):
    """What is wrong, in a line; dictConfig wraps it."""
    lines = [f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error)]
    if error.__cause__ is not None:
        lines.append(f"{type(error.__cause__).__name__}: {error.__cause__}")
    return ": ".join(lines)


def _unusable(path, cause, hint):
    return _load.LoadError(f"cannot use the log configuration `{path}`", cause=cause, hint=hint, kind="config")


def _is_configured(name):
    log = logging.root.manager.loggerDict.get(name)
    return isinstance(log, logging.Logger) and bool(log.handlers or log.level != logging.NOTSET)


def _has_handler(name):
    """Whether a file names this logger or one above it, other than the root, and lines of it are handled."""
    log = logging.root.manager.loggerDict.get(name)
    while isinstance(log, logging.Logger) and log is not logging.root:
        if log.handlers:
            return True
        log = log.parent if log.propagate else None
    return False


def _writer(log):
    """What the server calls with an event: its level, message, fields and exception."""

    def write(level, message, fields, error):
        if not log.isEnabledFor(level):
            return
        info = (type(error), error, error.__traceback__) if error is not None else None
        text = message + "".join(f" {name}={json.dumps(value)}" for name, value in fields.items())
        # The fields are on the record as well, for formatters that write them one by one.
        taken = {"name", "msg", "args", "message", "asctime", "process", "thread", "module"}
        extra = {name: value for name, value in fields.items() if name not in taken}
        log.log(level, "%s", text, exc_info=info, extra={"event": message, **extra})

    return write


def take_access(worker):
    """Writes the access log through the logger that the file has for it, if it has one."""
    if access is None:
        return
    if access.name == "uvicorn.access":
        # Its formatters take these apart.
        worker.log_access_to(_write_as_uvicorn, "json")
    else:
        worker.log_access_to(_write_access, None)


def _write_access(lines):
    if access.isEnabledFor(logging.INFO):
        for line in lines.splitlines():
            access.info("%s", line)


def _write_as_uvicorn(lines):
    if not access.isEnabledFor(logging.INFO):
        return
    for line in lines.splitlines():
        request = json.loads(line)
        path = request["path"] + (f"?{request['query']}" if request["query"] else "")
        version = (request["protocol"] or "HTTP/1.1").partition("/")[2]
        access.info('%s - "%s %s HTTP/%s" %d', request["client"], request["method"], path, version, request["status"])
