# SPDX-License-Identifier: BSD-3-Clause
"""Check the layout of the package: count its rooms, and fail on a circle or too many modules.

A room is a folder or a module at the top of ``src/bnn``. Which room may import which is the
contract in pyproject.toml, which ``lint-imports`` holds; here circles between single modules
are found too, and the figures of docs/architecture.md are printed.

    python tools/check_rooms.py
"""

from __future__ import annotations

import sys
from collections import defaultdict
from functools import cache

import grimp

PACKAGE = "bnn"
#: Most modules at the top, rooms, and layers of rooms.
MAX_MODULES, MAX_ROOMS, MAX_LAYERS = 10, 25, 10

Graph = dict[str, set[str]]


def modules() -> Graph:
    """Return module -> modules that it imports, also inside functions; not for types only."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    return {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}


def room(module: str) -> str:
    """Return the room of a module; "" for the package's ``__init__`` and ``__main__``."""
    name = module.split(".")[1] if "." in module else ""
    return "" if name == "__main__" else name


def rooms(graph: Graph) -> Graph:
    """Return room -> rooms that it imports."""
    found: Graph = defaultdict(set)
    for module, imported in graph.items():
        if room(module):
            found[room(module)] |= {room(each) for each in imported} - {room(module), ""}
    return dict(found)


def circles(graph: Graph) -> list[list[str]]:
    """Return groups of nodes that all reach each other, sorted (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(found)


def layers(graph: Graph) -> int:
    """Return the length of the longest chain of imports between rooms; the graph has no circle."""

    @cache
    def height(node: str) -> int:
        return 1 + max(map(height, graph.get(node, ())), default=0)

    return max(map(height, graph), default=0)


def problems(graph: Graph) -> list[str]:
    """Print the figures of a layout; return what is wrong with it, one line each."""
    arranged = rooms(graph)
    flat = [name for name in graph if name.count(".") == 1 and not _is_folder(name, graph)]
    between, single = circles(arranged), circles(graph)
    print(f"modules at the top: {len(flat) + 1} (at most {MAX_MODULES})")
    height = 0 if between else layers(arranged)
    print(f"rooms: {len(arranged)} (at most {MAX_ROOMS})")
    print(f"layers of rooms: {height} (at most {MAX_LAYERS})")
    print(f"circles between rooms: {len(between)}, between modules: {len(single)}")
    wrong = [f"circle: {' -> '.join(each)}" for each in [*between, *single]]
    for what, count, most in (
        ("modules at the top", len(flat) + 1, MAX_MODULES),
        ("rooms", len(arranged), MAX_ROOMS),
        ("layers", height, MAX_LAYERS),
    ):
        if count > most:
            wrong.append(f"{count} {what}, at most {most} are wanted")
    return wrong


def _is_folder(name: str, graph: Graph) -> bool:
    return any(other.startswith(f"{name}.") for other in graph)


def main() -> int:
    """Print the figures and what is wrong; return 1 if anything is."""
    wrong = problems(modules())
    for line in wrong:
        print(f"  {line}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
