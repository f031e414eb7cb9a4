"""What works in an environment that has nothing but the wheel; run with that environment's Python in an empty directory."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import hostler
from hostler.testing import serve
from served import APPLICATION, get, served

RUN = '''
import hostler
if __name__ == "__main__":
    hostler.run(app, port=0, workers=2, access_log=True, env_files=[], log_file=None)
'''
BARE_RUN = "import hostler\nhostler.run('bare:app', port=0)\n"
PROGRAM = str(Path(sys.prefix, "bin", "hostler"))


def main():
    Path("shop.py").write_text(APPLICATION + RUN)
    Path("bare.py").write_text(APPLICATION + BARE_RUN)
    for command in ([PROGRAM], [sys.executable, "-m", "hostler"]):
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        assert said.split() == ["hostler", hostler.__version__], said
    begun = time.monotonic()
    for command in (
        [PROGRAM, "shop:app", "--port", "0"],
        [sys.executable, "-m", "hostler", "shop:app", "--port", "0"],
        [sys.executable, "shop.py"],
        [sys.executable, "-m", "shop"],
    ):
        assert served(command) == sys.prefix, command
    print(f"a start, a response and a stop: {(time.monotonic() - begun) / 4:.2f} s")
    with serve("shop:app", workers=2) as server:
        assert get(server.url) == sys.prefix
    refused = subprocess.run([PROGRAM, "bare:app", "--port", "0"], capture_output=True, text=True)
    assert refused.returncode != 0 and 'if __name__ == "__main__"' in refused.stderr, refused.stderr
    Path("not-a-name.py").write_text(APPLICATION + RUN)
    refused = subprocess.run([sys.executable, "not-a-name.py"], capture_output=True, text=True)
    assert "TypeError: hostler.run needs" in refused.stderr, refused.stderr
    failure = []
    thread = threading.Thread(target=lambda: failure.append(in_thread()))
    thread.start()
    thread.join()
    assert "main thread" in failure[0]
    print("the wheel serves")


def in_thread():
    try:
        hostler.run("shop:app")
    except RuntimeError as error:
        return str(error)


if __name__ == "__main__":
    main()
