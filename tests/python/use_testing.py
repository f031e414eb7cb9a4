"""Uses `hostler.testing` as a test of an application would."""

import sys
import urllib.request

from hostler.testing import ServerFailed, serve

apps = sys.argv[1]
with serve("asgi_app:app", workers=2, cwd=apps, env={"PYTHONPATH": apps}) as server:
    with urllib.request.urlopen(server.url + "/pid") as answer:
        assert answer.status == 200
        assert int(answer.read()) != server.pid
    log = server.log
assert server.stop() == 0

try:
    with serve("raises:app", cwd=apps):
        raise AssertionError("it started")
except ServerFailed as error:
    assert "the settings are missing" in str(error), error

try:
    with serve("asgi_app:app", cwd=apps) as server:
        raise KeyError("a test that fails")
except KeyError:
    pass
print("all well")
