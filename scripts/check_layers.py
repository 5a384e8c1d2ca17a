#!/usr/bin/env python3
"""Lists #include lines that break the order of the layers (docs/architecture.md).

A layer includes public headers (ssa/LAYER/...) of itself and of layers that it links and that stand
before it in src/CMakeLists.txt. Private headers (src/LAYER/...) are included by their own layer and
by its tests only; tests/fuzz has the tests of all parsers.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include "([^"]+)"', re.MULTILINE)
# Folders of tests that are not named after the layer that they test.
TESTED_LAYER = {"cuda": "backend", "cuda_emulation": "backend"}


def layer_order():
    text = (ROOT / "src/CMakeLists.txt").read_text()
    return re.search(r"foreach\(layer ([^)]+)\)", text).group(1).split()


def linked_layers(order):
    """By layer, the layers that it links, directly or through others. None: links what it likes."""
    linked = {}
    for layer in order:
        text = (ROOT / "src" / layer / "CMakeLists.txt").read_text()
        call = re.search(r"ssa_add_layer\(" + layer + r"\b([^)]*)\)", text)
        if call is None:  # the programs
            linked[layer] = None
            continue
        linked[layer] = set()
        for name in set(re.findall(r"\bssa_(\w+)", call.group(1))) & linked.keys():
            linked[layer] |= {name} | linked[name]
    return linked


def sources(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".h", ".cpp", ".cu", ".cuh"))


def problem_of_public(layer, header, order, linked):
    other = header.split("/")[1]
    if other == layer or other not in order:
        return None
    if order.index(other) > order.index(layer):
        return f"{layer} may not include {header}: {other} is a layer above it"
    if linked[layer] is not None and other not in linked[layer]:
        return f"{layer} includes {header} but does not link ssa_{other}"
    return None


def problem_of_private(layer, header):
    other = header.split("/")[0]
    if other == layer or not (ROOT / "src" / header).is_file():
        return None
    return f"{layer} may not include {header}: it is private to {other}"


def problems():
    order = layer_order()
    linked = linked_layers(order)
    for layer in order:
        for path in sources(ROOT / "src" / layer) + sources(ROOT / "include/ssa" / layer):
            for header in INCLUDE.findall(path.read_text()):
                if header.startswith("ssa/"):
                    yield path, problem_of_public(layer, header, order, linked)
                elif "/" in header:
                    yield path, problem_of_private(layer, header)
    for path in sources(ROOT / "tests"):
        folder = path.relative_to(ROOT / "tests").parts[0]
        if folder == "fuzz":
            continue
        layer = TESTED_LAYER.get(folder, folder)
        for header in INCLUDE.findall(path.read_text()):
            if "/" in header:
                yield path, problem_of_private(layer, header)


found = [f"{path.relative_to(ROOT)}: {problem}" for path, problem in problems() if problem]
print("\n".join(found), end="\n" if found else "")
sys.exit(1 if found else 0)
