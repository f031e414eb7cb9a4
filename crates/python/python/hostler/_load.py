"""Finding the application: import, attribute, factory, interface."""

import importlib
import inspect
import os
import sys
import traceback

from hostler import _forks, rsgi


class LoadError(Exception):
    """The application cannot be loaded; `kind` decides the exit code."""

    def __init__(self, message, cause=None, hint=None, kind="import"):
        super().__init__(message)
        self.cause = cause
        self.hint = hint
        self.kind = kind


def load(target, factory, working_dir, interface):
    """Returns the application and its interface: "asgi", "asginl", "rsgi" or "wsgi"."""
    if interface == "rsgi":
        rsgi.stand_in_for_granian()
    if working_dir is not None:
        _enter(working_dir)
    here = os.getcwd()
    sys.path[:] = [here] + [entry for entry in sys.path if entry not in ("", here)]
    module_name, _, attribute = target.partition(":")
    module = _import(target, module_name)
    app = _attribute(target, module, attribute)
    if factory:
        app = _make(target, app)
    if not callable(app) and not hasattr(app, "__rsgi__"):
        raise LoadError(
            f"`{target}` is not an application",
            cause=f"it is {_describe(app)}, which cannot be called",
            hint="name the ASGI, RSGI or WSGI callable" + _candidates(module, besides=attribute),
        )
    return app, interface or _detect(target, app)


def _enter(working_dir):
    try:
        os.chdir(working_dir)
    except OSError as error:
        raise LoadError(
            f"cannot work in `{working_dir}`",
            cause=str(error),
            hint="--working-dir names the directory that the application is imported from",
            kind="config",
        ) from None


def _import(target, name):
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise LoadError(
            f"`{target}` does not name an application",
            cause=f"{name!r} is not a module name",
            hint="write it as package.module:attribute, without .py and without slashes",
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise LoadError(
                f"could not load `{target}`",
                cause=f"there is no module `{error.name}`",
                hint=f"modules are searched in {os.getcwd()} first; --working-dir changes that",
            ) from None
        raise _raised(target, error) from None
    except (Exception, SystemExit) as error:
        _forks.exit_if_forked(error)
        raise _raised(target, error) from None


def _raised(target, error):
    return LoadError(
        f"could not load `{target}`",
        cause=_traceback(error),
        hint="the application raised this while it was imported",
    )


def _traceback(error):
    """The traceback without the frames of the import system and ours."""
    frames = error.__traceback__
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if not file.startswith("<") and os.path.basename(os.path.dirname(file)) != "importlib":
            break
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames or None)
    return "".join(lines).rstrip()


def _attribute(target, module, path):
    names = [path] if path else ["app", "application"]
    for name in names:
        found = module
        try:
            for part in name.split("."):
                found = getattr(found, part)
            return found
        except AttributeError:
            continue
    if path.endswith(")"):
        hint = f"to call a factory, use --factory with `{module.__name__}:{path.partition('(')[0]}`"
    else:
        hint = "name the ASGI, RSGI or WSGI callable" + _candidates(module)
    wanted = f"`{path}`" if path else "neither `app` nor `application`"
    verb = "has no attribute" if path else "has"
    raise LoadError(
        f"could not load `{target}`", cause=f"module `{module.__name__}` {verb} {wanted}", hint=hint
    )


def _candidates(module, besides=""):
    """Names in the module that may be the application."""
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != besides
        and callable(value)
        and not inspect.isclass(value)
        and getattr(value, "__module__", module.__name__) in (module.__name__, type(value).__module__)
    ]
    if not names:
        return ""
    return f"; `{module.__name__}` has " + ", ".join(f"`{name}`" for name in names[:5])


def _make(target, factory):
    try:
        return factory()
    except (Exception, SystemExit) as error:
        _forks.exit_if_forked(error)
        raise LoadError(
            f"the factory `{target}` failed",
            cause=_traceback(error),
            hint="--factory calls the attribute without arguments and serves what it returns",
        ) from None


def _describe(value):
    kind = type(value).__name__
    return "None" if value is None else f"a value of type {kind}"


def _detect(target, app):
    if hasattr(app, "__rsgi__"):
        return "rsgi"
    count = _positional_count(app)
    if _is_coroutine_callable(app):
        return "rsgi" if count == 2 else "asgi"
    if count == 3:
        return "asgi"
    if count == 2:
        return "wsgi"
    if count == 0:
        hint = "if it is a function that returns the application, add --factory"
    else:
        hint = "set --interface to asgi, rsgi or wsgi"
    raise LoadError(
        f"cannot tell what kind of application `{target}` is",
        cause="ASGI applications take (scope, receive, send), RSGI ones (scope, protocol), WSGI ones (environ, start_response)",
        hint=hint,
    )


def _is_coroutine_callable(app):
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))


def _positional_count(app):
    try:
        parameters = list(inspect.signature(app).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        # A wrapper that passes on its arguments; asynchronous ones are mostly coroutine functions.
        return 2
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(1 for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty)
