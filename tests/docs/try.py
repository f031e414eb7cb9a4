"""Does what the documents say: try.py HOSTLER PYTHON [PAGE…]. Without pages: all."""

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import links
import pages
import room

CHECKOUT = Path(__file__).resolve().parents[2]
AT_ONCE = 3


def everything() -> list[Path]:
    """What users read. ARCHITECTURE.md and CONTRIBUTING.md are for those who work on hostler."""
    return [CHECKOUT / "README.md", CHECKOUT / "SECURITY.md", *sorted(CHECKOUT.glob("docs/**/*.md"))]


def unknown_events() -> list[str]:
    """Events that the runbook names in a first column, and the list of events does not have."""
    known = (CHECKOUT / "docs/LOG_EVENTS.md").read_text()
    tables = re.findall(r"(?:^\|[^\n]*log event.*\n)((?:^\|.*\n)*)", (CHECKOUT / "docs/RUNBOOK.md").read_text(), re.M)
    cells = (row.split(" | ")[0] for table in tables for row in table.splitlines())
    events = (event for cell in cells for event in re.findall(r"`([a-z][^`=:…]{9,})", cell))
    return [f"RUNBOOK.md: {event!r} is not in LOG_EVENTS.md" for event in events if event not in known]


def try_page(page: Path, hostler: Path, python: Path) -> str | None:
    begun = time.monotonic()
    arguments = [str(CHECKOUT), str(hostler), str(python), str(page)]
    done = room.enter(str(CHECKOUT / "tests/docs/page.py"), arguments)
    print(f"{page.relative_to(CHECKOUT)}: {time.monotonic() - begun:.1f} s", flush=True)
    return None if done.returncode == 0 else done.stdout


def main():
    hostler, python = (Path(argument).absolute() for argument in sys.argv[1:3])
    wanted = [Path(argument).resolve() for argument in sys.argv[3:]] or everything()
    mistakes, busy = unknown_events(), []
    for page in wanted:
        mistakes += links.broken(page)
        try:
            steps = pages.read(page)
            if any(step.kind not in ("heading", "not run:") for step in steps):
                busy.append(page)
        except pages.Mistake as mistake:
            mistakes.append(str(mistake))
    # The longest first, so that none is left alone at the end.
    busy.sort(key=lambda page: page.stat().st_size, reverse=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        mistakes += filter(None, pool.map(lambda page: try_page(page, hostler, python), busy))
    if subprocess.run([sys.executable, CHECKOUT / "crates/bench/chart.py", "--check"]).returncode != 0:
        mistakes.append("the chart is not that of the table")
    if mistakes:
        raise SystemExit("\n\n".join(mistakes))
    print(f"{len(busy)} pages do what they say")


if __name__ == "__main__":
    main()
