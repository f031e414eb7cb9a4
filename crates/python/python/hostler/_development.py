"""What workers do for a developer (`--reload`): they serve why an application cannot be loaded, and keep no stale bytecode."""

import html
import importlib.machinery
import os
import re
import time

# Python takes bytecode for that of a source file with the same size and the same second of its last change.
_RACY_SECONDS = 2

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222}"
    "h1{font-size:1.2rem;border-left:.3rem solid #c22;padding-left:.7rem}"
    "pre{background:#f4f4f2;padding:1rem;overflow:auto;line-height:1.45;color:#777}"
    "pre b{color:#111}p{color:#555}"
    "@media(prefers-color-scheme:dark){body{background:#191919;color:#ddd}pre{background:#242424;color:#888}pre b{color:#fff}p{color:#aaa}}"
)
_FRAME = re.compile(r'^ *(?:\| *)*File "(?P<file>[^"]+)", line \d+')


def keep_no_racy_bytecode():
    """Has bytecode stored only of files that were not changed just now."""
    loader = importlib.machinery.SourceFileLoader
    store = getattr(loader, "_cache_bytecode", None)
    if store is None:
        return

    def store_unless_racy(self, source_path, bytecode_path, data):
        try:
            recent = time.time() - os.stat(source_path).st_mtime < _RACY_SECONDS
        except OSError:
            recent = True
        return None if recent else store(self, source_path, bytecode_path, data)

    loader._cache_bytecode = store_unless_racy


def application(message, cause, hint):
    """An ASGI application whose response to everything is why the real one is not there."""

    async def app(scope, receive, send):
        accept = dict(scope["headers"]).get(b"accept", b"")
        is_page = b"text/html" in accept
        body = (_page if is_page else _text)(message, cause, hint).encode("utf-8", "backslashreplace")
        kind = b"text/html; charset=utf-8" if is_page else b"text/plain; charset=utf-8"
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
        prefix = ""
        if scope["type"] == "websocket":
            if "websocket.http.response" not in scope.get("extensions", {}):
                return await send({"type": "websocket.close", "code": 1011, "reason": message[:100]})
            prefix = "websocket."
        await send({"type": prefix + "http.response.start", "status": 500, "headers": headers})
        await send({"type": prefix + "http.response.body", "body": body})

    return app


def _text(message, cause, hint):
    parts = [message, cause, f"hint: {hint}" if hint else None]
    return "\n\n".join(part for part in parts if part) + "\n"


def _page(message, cause, hint):
    escaped = html.escape(message)
    told = f"<pre>{_marked(cause)}</pre>" if cause else ""
    advice = f"<p>{html.escape(hint)}</p>" if hint else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escaped}</title><style>{_STYLE}</style>'
        f"<h1>{escaped}</h1>{told}{advice}<p>hostler loads the application again when a file changes.</p></html>\n"
    )


def _marked(cause):
    """A traceback as HTML, in which the frames of the user's own files stand out, and the error itself."""
    lines, own = [], True
    for line in cause.splitlines():
        if found := _FRAME.match(line):
            own = is_own(found["file"])
        elif not line.startswith(" "):
            own = True
        text = html.escape(line)
        lines.append(f"<b>{text}</b>" if own else text)
    return "\n".join(lines)


def is_own(file):
    """Whether a file is the user's, and none of a library."""
    if file.startswith("<") or f"{os.sep}site-packages{os.sep}" in file or f"{os.sep}dist-packages{os.sep}" in file:
        return False
    return not file.startswith(os.path.dirname(os.__file__) + os.sep)
