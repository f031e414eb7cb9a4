"""Starts an installed server and asks it once."""

import os
import re
import signal
import subprocess
import threading
import urllib.request

APPLICATION = '''
import sys

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": sys.prefix.encode()})
'''


def get(url):
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode()


def stop(server):
    server.send_signal(signal.SIGTERM)
    assert server.wait(60) == 0


def served(command):
    """Starts it without an active environment, and asks the server once."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        for line in server.stderr:
            if found := re.search(r"listening .*address=(\S+)", line):
                break
        else:
            raise AssertionError(f"{command} does not listen")
        drained = threading.Thread(target=server.stderr.read)
        drained.start()
        answer = get(f"http://{found[1]}/")
        stop(server)
        drained.join()
        return answer
    finally:
        server.kill()
