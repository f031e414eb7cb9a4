"""Links between documents lead somewhere: files that exist, and headings of theirs."""

import re
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def broken(page: Path) -> list[str]:
    """What is wrong with the links of a page."""
    text = BLOCK.sub("", page.read_text())
    targets = (target for target in LINK.findall(text) if "://" not in target)
    return [f"{page.name}: the link {target} leads nowhere" for target in targets if not _exists(page, target)]


def _exists(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    if not file.exists():
        return False
    return not anchor or anchor in map(_anchor, HEADING.findall(file.read_text()))


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
