"""Reads the documents: fenced blocks, and the comment in front of each that says what becomes of it (tests/docs/README.md)."""

import re
from dataclasses import dataclass
from pathlib import Path

MARKER = re.compile(r"<!-- doc: (.*?)\s*-->", re.DOTALL)
FENCE = re.compile(r"^(```+)(\S*)\s*$")
HEADING = re.compile(r"^#{1,3} ")

# What stands in front of a block, and what stands alone.
OF_BLOCKS = ("serve each", "serve", "run each beside", "run", "prints", "file", "not run:")
ALONE = ("check", "log")


class Mistake(Exception):
    """Something in a page is not as it has to be: where, and what."""


@dataclass
class Step:
    """One thing to do, in the order of the page."""

    kind: str
    argument: str
    text: str
    place: str


def read(path: Path) -> list[Step]:
    """The steps of a page. Headings are steps: what was started in a section ends with it."""
    steps, marker, lines = [], None, iter(enumerate(path.read_text().splitlines(), 1))
    for number, line in lines:
        place = f"{path.name}:{number}"
        if line.startswith("<!-- doc:"):
            if marker:
                raise Mistake(f"{place}: there is no block for the comment before")
            marker = _marker(line, lines, place)
            if marker.kind in ALONE:
                steps.append(marker)
                marker = None
        elif fence := FENCE.match(line):
            text = _block(fence[1], lines)
            if not marker:
                raise Mistake(
                    f"{place}: nothing says what becomes of this block. Put a comment in front of it, "
                    "such as <!-- doc: run -->, or <!-- doc: not run: the reason --> (tests/docs/README.md)"
                )
            steps.append(Step(marker.kind, marker.argument, text, place))
            marker = None
        elif HEADING.match(line):
            steps.append(Step("heading", "", line, place))
        elif marker and line.strip():
            raise Mistake(f"{place}: a block was to follow the comment")
    if marker:
        raise Mistake(f"{marker.place}: there is no block for this comment")
    return steps


def _block(fence: str, lines) -> str:
    text = []
    for _, line in lines:
        if line.rstrip() == fence:
            break
        text.append(line)
    return "\n".join(text) + "\n"


def _marker(line: str, lines, place: str) -> Step:
    text = line
    while "-->" not in text:
        text += "\n" + next(lines, (0, "-->"))[1]
    said = MARKER.match(text)
    for kind in OF_BLOCKS + ALONE:
        if said and (said[1] == kind or said[1].startswith((kind + " ", kind + "\n"))):
            argument = said[1][len(kind) :].strip()
            if kind == "not run:" and len(argument.split()) < 2:
                raise Mistake(f"{place}: 'not run:' needs a reason")
            return Step(kind, argument, argument, place)
    raise Mistake(f"{place}: {line!r} is none of {', '.join(OF_BLOCKS + ALONE)}")
