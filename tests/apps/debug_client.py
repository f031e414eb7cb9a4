"""A client of the Debug Adapter Protocol: attaches, has a request halt the program, looks at it for a while, and lets it go on."""

import itertools
import json
import socket
import sys
import threading
import time
import urllib.request

connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
stream = connection.makefile("rwb")
numbers = itertools.count(1)


def send(command, **arguments):
    text = json.dumps({"seq": next(numbers), "type": "request", "command": command, "arguments": arguments}).encode()
    stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
    stream.flush()


def wait_for(wanted):
    while True:
        length = 0
        while line := stream.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        message = json.loads(stream.read(length))
        if wanted in (message.get("event"), message.get("command")):
            return message


send("initialize", adapterID="python", clientID="test")
wait_for("initialize")
send("attach", justMyCode=False)
wait_for("initialized")
send("configurationDone")
wait_for("configurationDone")
answers = []
request = threading.Thread(target=lambda: answers.append(urllib.request.urlopen(sys.argv[2], timeout=30).read()))
request.start()
thread = wait_for("stopped")["body"]["threadId"]
# Longer than a stall is allowed to last.
time.sleep(4)
send("stackTrace", threadId=thread)
assert wait_for("stackTrace")["body"]["stackFrames"][0]["name"] == "app"
send("continue", threadId=thread)
wait_for("continue")
request.join()
assert answers == [b"41"], answers
send("disconnect", terminateDebuggee=False)
wait_for("disconnect")
