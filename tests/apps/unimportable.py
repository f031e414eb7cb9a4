"""An application that can be imported as long as a file is not there."""

import os

if os.path.exists(os.environ["BROKEN"]):
    raise RuntimeError("broken on purpose")

from hostile import app  # noqa: E402, F401
