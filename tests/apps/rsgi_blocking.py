"""Blocks the event loop for a while at each request."""

import time


class App:
    async def __rsgi__(self, scope, protocol):
        time.sleep(1)
        protocol.response_str(200, [], "blocked")


app = App()
