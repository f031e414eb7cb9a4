#!/usr/bin/env python3
"""Draws docs/performance.svg from the first table of docs/PERFORMANCE.md: chart.py [--check], by `cargo xtask bench chart`.

A group of bars for each application, the longest the fastest of its group; numbers are requests (or messages) per second.
"""
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
# The beginnings of rows, and what the chart calls them: without a framework, with one.
ROWS = {
    "ASGI hello": "ASGI",
    "WSGI hello": "WSGI",
    "RSGI hello": "RSGI",
    "WebSocket echo": "WebSocket",
    "Starlette route": "Starlette",
    "FastAPI JSON route": "FastAPI",
    "Flask route": "Flask",
}
SERVERS = {"hostler": "#b5482a", "Granian": "#7a8793", "Uvicorn": "#b9c2ca"}
LEFT, WIDTH, BAR, GAP = 150, 430, 13, 14


def figures():
    """By application, requests per second of each server that was measured."""
    table = (DOCS / "PERFORMANCE.md").read_text().split("| app |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    for beginning, name in ROWS.items():
        row = next(row for row in rows if row[0].startswith(beginning))
        numbers = (re.match(r"[\d,]+", cell) for cell in row[1:4])
        yield name, {
            server: int(number[0].replace(",", "")) for server, number in zip(SERVERS, numbers) if number
        }


def text(x, y, said, more=""):
    return f'<text x="{x:g}" y="{y:g}" {more}>{said}</text>'


def bars(name, measured, top):
    """One group, and where the next one begins."""
    most = max(measured.values())
    middle = top + len(measured) * BAR / 2 + 4
    parts = [text(LEFT - 10, middle, name, 'text-anchor="end" font-weight="bold"')]
    for number, (server, rate) in enumerate(measured.items()):
        y, length = top + number * BAR, WIDTH * rate / most
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.0f}" height="{BAR - 2}" fill="{SERVERS[server]}"/>')
        parts.append(text(round(LEFT + length + 6), y + 9.5, f"{rate:,}", 'font-size="10"'))
    return parts, top + len(measured) * BAR + GAP


def drawing():
    parts = [text(LEFT, 20, "Requests per second, one worker, CPython 3.13 (docs/PERFORMANCE.md)", 'font-size="13"')]
    for number, (server, colour) in enumerate(SERVERS.items()):
        x = LEFT + number * 90
        parts += [f'<rect x="{x}" y="30" width="11" height="11" fill="{colour}"/>', text(x + 16, 40, server)]
    top = 56
    for name, measured in figures():
        group, top = bars(name, measured, top)
        parts += group
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="660" height="{top}" viewBox="0 0 660 {top}" '
    head += 'font-family="system-ui, sans-serif" font-size="12" fill="#222">'
    return "\n".join([head, f'<rect width="660" height="{top}" fill="#fff"/>', *parts, "</svg>\n"])


def main():
    file = DOCS / "performance.svg"
    if sys.argv[1:] == ["--check"]:
        if file.read_text() != drawing():
            raise SystemExit("docs/performance.svg is not what docs/PERFORMANCE.md says: `cargo xtask bench chart` draws it")
    else:
        file.write_text(drawing())


if __name__ == "__main__":
    main()
