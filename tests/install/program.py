"""What works with an installed program and a Python that has nothing of hostler's: program.py PROGRAM, in an empty directory."""

import subprocess
import sys
from pathlib import Path

from served import APPLICATION, served


def main():
    program = sys.argv[1]
    Path("shop.py").write_text(APPLICATION)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("hostler "), said
    assert served([program, "shop:app", "--port", "0", "--python", sys.executable]) == sys.prefix
    print("the program serves")


if __name__ == "__main__":
    main()
