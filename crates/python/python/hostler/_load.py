"""Finding the application: import, attribute, factory, interface."""

import importlib
import inspect
import os
import sys
import traceback

from hostler import _forks, rsgi


# The server's working directory: this is imported before any other is entered.
started_in = os.getcwd()


class LoadError(Exception):
    """The application cannot be loaded; `kind` decides the exit code."""

    def __init__(self, message, cause=None, hint=None, kind="import"):
        super().__init__(message)
        self.cause = cause
        self.hint = hint
        self.kind = kind


def load(target, factory, working_dir, python_path, interface, log_config=None):
    """Returns the application and its interface: "asgi", "asginl", "rsgi" or "wsgi"."""
    if interface == "rsgi":
        rsgi.stand_in_for_granian()
    if working_dir is not None:
        _enter(working_dir)
    here = os.getcwd()
    first = [os.path.abspath(entry) for entry in python_path] + [here]
    sys.path[:] = first + [entry for entry in sys.path if entry and entry not in first]
    if log_config is not None:
        # It may name classes of the application.
        from hostler import _logconfig

        _logconfig.apply(log_config)
    module_name, _, attribute = target.partition(":")
    module = _import(target, _module_name(target, module_name))
    path, call = _parsed(target, attribute)
    app = _attribute(target, module, path)
    if call is not None:
        app = _make(target, app, *call)
    if factory:
        app = _make(target, app)
    if not callable(app) and not hasattr(app, "__rsgi__"):
        raise LoadError(
            f"`{target}` is not an application",
            cause=f"it is {_describe(app)}, which cannot be called",
            hint="name the ASGI, RSGI or WSGI callable" + _candidates(module, besides=attribute),
        )
    if interface is not None:
        _refuse_another_interface(target, app, interface)
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


def _module_name(target, name):
    """The name of a module that may be given as a file: `src/main`, `main.py`."""
    file = name if name.endswith(".py") else name + ".py"
    is_path = "/" in name or name.endswith(".py") and os.path.isfile(name)
    if not is_path:
        return name
    path = os.path.abspath(name)
    if not os.path.isfile(file) and not os.path.isdir(path):
        raise LoadError(
            f"could not load `{target}`",
            cause=f"there is no file `{file}`",
            hint=f"files are looked for from {os.getcwd()}; --working-dir changes that",
        )
    path = path.removesuffix(".py").removesuffix("/__init__")
    directory, parts = os.path.split(path)[0], [os.path.basename(path)]
    # A package's directory is not searched for modules, the one that it is in is.
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory, part = os.path.split(directory)
        parts.insert(0, part)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    return ".".join(parts)


def _import(target, name):
    # A file's name may have dashes, which are in no identifier.
    if not name or not all(part.replace("-", "_").isidentifier() for part in name.split(".")):
        raise LoadError(
            f"`{target}` does not name an application",
            cause=f"{name!r} is not a module name",
            hint="write it as package.module:attribute, or with a file as directory/module.py:attribute",
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise LoadError(
                f"could not load `{target}`",
                cause=f"there is no module `{error.name}`",
                hint=_other_module(name, error.name, target)
                + f"modules are searched in {os.getcwd()} first; --working-dir changes that",
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


def _other_module(name, missing, target):
    """A module that may have been meant, as part of a hint."""
    import difflib
    import pkgutil

    parent, _, last = missing.rpartition(".")
    package = sys.modules.get(parent) if parent else None
    places = list(getattr(package, "__path__", [])) if parent else [sys.path[0], os.getcwd()]
    known = [module.name for module in pkgutil.iter_modules(places)]
    close = difflib.get_close_matches(last, known, n=1, cutoff=0.7)
    if close:
        meant = (f"{parent}." if parent else "") + close[0] + name[len(missing) :]
        rest = target.partition(":")[2]
        return f"did you mean `{meant}{':' if rest else ''}{rest}`? "
    if not parent and any(os.path.isfile(os.path.join(os.getcwd(), src, last + ".py")) for src in ("src", "app")):
        where = "src" if os.path.isfile(os.path.join(os.getcwd(), "src", last + ".py")) else "app"
        return f"`{where}/{last}.py` is there: use --python-path {where}, or `{where}/{target}`; "
    return ""


def _parsed(target, text):
    """The attribute's path, and the arguments of a call if it is one: `create_app("prod", debug=True)`."""
    if "(" not in text:
        return text, None
    import ast

    wrong = LoadError(
        f"`{target}` does not name an application",
        cause=f"`{text}` is no attribute, and no call with literal values",
        hint="write it as module:attribute or as module:factory('value', name=1)",
    )
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or any(keyword.arg is None for keyword in call.keywords):
            raise wrong
        arguments = [ast.literal_eval(argument) for argument in call.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        return ast.unparse(call.func), (arguments, named)
    except (SyntaxError, ValueError):
        raise wrong from None


def _attribute(target, module, path):
    for name in [path] if path else ["app", "application"]:
        found = module
        try:
            for part in name.split("."):
                found = getattr(found, part)
            return found
        except AttributeError:
            continue
    hint = _other_attribute(module, path) + "name the ASGI, RSGI or WSGI callable" + _candidates(module)
    wanted = f"`{path}`" if path else "neither `app` nor `application`"
    verb = "has no attribute" if path else "has"
    raise LoadError(
        f"could not load `{target}`", cause=f"module `{module.__name__}` {verb} {wanted}", hint=hint
    )


def _other_attribute(module, path):
    """An attribute that may have been meant, as part of a hint."""
    import difflib

    known = [name for name in vars(module) if not name.startswith("_")]
    usual = [name for name in ("app", "application", "asgi", "wsgi", "api", "server") if name in known]
    factories = [name for name in ("create_app", "make_app", "get_app", "get_application") if name in known]
    close = difflib.get_close_matches(path, known, n=1, cutoff=0.7) if path else []
    for name in close + usual:
        return f"did you mean `{module.__name__}:{name}`? "
    for name in factories:
        return f"did you mean `{module.__name__}:{name}()`? "
    return ""


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


def _make(target, factory, arguments=(), named=None):
    try:
        return factory(*arguments, **(named or {}))
    except (Exception, SystemExit) as error:
        _forks.exit_if_forked(error)
        raise LoadError(
            f"the factory `{target}` failed",
            cause=_traceback(error),
            hint="a factory returns the application; --factory calls it without arguments, `module:factory(1)` with these",
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


def _refuse_another_interface(target, app, interface):
    """Refuses what is surely another kind of application, before each request fails."""
    count = _positional_count(app, of_wrapper=None)
    if hasattr(app, "__rsgi__"):
        kind = "rsgi"
    elif count == 3:
        kind = "asgi"
    elif count == 2 and not _is_coroutine_callable(app):
        kind = "wsgi"
    else:
        return
    # An object may serve several interfaces.
    alike = {"asginl": "asgi"}.get(interface, interface)
    if kind == alike or kind == "rsgi" or (kind, alike) == ("wsgi", "rsgi"):
        return
    takes = {"asgi": "(scope, receive, send), as ASGI has it", "wsgi": "(environ, start_response), as WSGI has it"}
    raise LoadError(
        f"`{target}` is no {alike.upper()} application",
        cause=f"it takes {takes[kind]}",
        hint=f"set --interface {kind}; on Gunicorn's command line that is -k {'asgi' if kind == 'asgi' else 'gthread'}",
    )


def _is_coroutine_callable(app):
    return inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None))


def _positional_count(app, of_wrapper=2):
    try:
        parameters = list(inspect.signature(app).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        # A wrapper that passes on its arguments; asynchronous ones are mostly coroutine functions.
        return of_wrapper
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(1 for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty)
