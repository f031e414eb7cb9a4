"""`python -m hostler`: the program, with this Python."""

import sys

from hostler._launch import start

if __name__ == "__main__":
    start(sys.argv[1:])
