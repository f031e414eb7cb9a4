"""hostler: a pre-fork application server. In a worker this package is part of the server's extension module."""

try:
    from _hostler import __version__, module_source
except ImportError:
    # Not in a worker: in tests, in a type checker, in an application that another server runs.
    __version__ = "0.1.0"
else:
    import importlib.abc
    import importlib.machinery
    import sys

    class _OnDemand(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
        """Finds the modules in the extension that few applications need."""

        def find_spec(self, fullname, path, target=None):
            if not fullname.startswith("hostler.") or module_source(fullname) is None:
                return None
            is_package = self.is_package(fullname)
            spec = importlib.machinery.ModuleSpec(fullname, self, origin=f"<{fullname}>", is_package=is_package)
            return spec

        def get_source(self, fullname):
            return module_source(fullname)

        def get_code(self, fullname):
            return compile(module_source(fullname), f"<{fullname}>", "exec")

        def is_package(self, fullname):
            return fullname == "hostler.tasks"

    sys.meta_path.append(_OnDemand())

__all__ = ["EventLoop", "RequestTimeout", "__version__", "hooks", "run"]


class RequestTimeout(BaseException):
    """Raised in the thread of a WSGI request that took longer than --request-timeout."""


def run(app, **options):
    """Serves an application until the server is stopped; this process becomes the server.

    `app` is `"module:attribute"`, or a global of the script that is run. `options` are those of the command line
    with underscores: `run("shop:app", workers=4, access_log=True)`; a list repeats an option, False is `--no-…`.

    Raises RuntimeError in a worker (the call must be under `if __name__ == "__main__":`) and in threads.
    """
    import sys

    if "_hostler" in sys.modules:
        raise RuntimeError(
            "hostler.run was called while a worker imports the application: "
            'put the call under `if __name__ == "__main__":`'
        )
    from hostler import _launch

    _launch.run(app, options)


def __getattr__(name):
    if name == "EventLoop":
        from hostler._loop import EventLoop

        return EventLoop
    raise AttributeError(f"module 'hostler' has no attribute {name!r}")
