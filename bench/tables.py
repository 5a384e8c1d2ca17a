"""Markdown tables of a record of compare.py, and putting them between the markers of a document."""

import pathlib
import sys

EMPTY_DOCUMENT = """# Performance

<!-- compare:begin -->
<!-- compare:end -->

<!-- pictures:begin -->
<!-- pictures:end -->

<!-- curves:begin -->
<!-- curves:end -->
"""


def markers(name):
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def require_markers(document, names):
    """Ends the program with a message if the document lacks a place for a block."""
    if not document.is_file():
        sys.exit(f"compare.py: no {document}; give --document PATH or --no-document")
    text = document.read_text()
    for name in names:
        begin, end = markers(name)
        if not 0 <= text.find(begin) < text.find(end):
            sys.exit(f"compare.py: {document} lacks the lines\n{begin}\n{end}\n(or --no-document)")


def put(document, name, block):
    """Replaces what stands between a block's markers."""
    require_markers(document, [name])
    begin, end = markers(name)
    text = pathlib.Path(document).read_text()
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    document.write_text(f"{before}{begin}\n\n{block}\n{end}{after}")


def mib(count):
    return f"{count / 2**20:,.0f} MiB" if count is not None else "–"


def seconds(value):
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def times(value):
    return f"{value:.2f}×"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    return "\n".join([row(head), row(["---"] * len(head)), *map(row, rows)])


def header(record):
    """Machine, versions, date, command."""
    on, versions, settings = record["machine"], record["versions"], record["settings"]
    turns = f"{settings['rounds']} rounds of {settings['steps_per_turn']} steps"
    kind = "virtual machine, " if on["virtual"] else ""
    lines = [
        f"{on['cpu']}, {kind}{on['cores']} cores, {settings['threads']} threads on both sides; "
        f"{', '.join(on['flags']) or 'no vector flags'}; {on['memory_bytes'] / 2**30:.0f} GiB.",
        f"{versions['ssa']}.",
    ]
    if "torch" in versions:
        lines.append(f"PyTorch {versions['torch']} with oneDNN {versions['onednn']}.")
    lines += [f"{record['date'][:10]}, median of {turns}:", f"`{record['command']}`"]
    if record["quick"]:
        lines.insert(0, "**Made with --quick: these figures mean nothing.**")
    return "\n".join(lines)


def side_cells(name, side, found):
    """Cells of a side's row after case and precision."""
    if "error" in side:
        return [side["title"], f"failed: {side['error'][:160].replace('|', '/')}"] + ["–"] * 6
    low, high = found["speed_of_rounds"] if found else (None, None)
    memory = (found or {}).get("memory_model", (found or {}).get("memory_whole"))
    return [
        side["title"],
        seconds(side["step_seconds"]),
        f"{side['tokens_per_second']:,.0f}",
        seconds(side["plan_seconds"]),
        mib(side["peak_resident_bytes"]),
        mib(side.get("model_bytes")),
        f"{times(found['speed'])} ({low:.2f}–{high:.2f})" if found else "",
        times(memory) if found else "",
    ]


def block_of(shape):
    """The block that a case of this shape is shown in."""
    return "pictures" if "rows" in shape else "compare"


def compare_block(record, of):
    """The cases whose block is `of`."""
    shown = [case for case in record["cases"] if block_of(case["shape"]) == of]
    head = ["case", "", "side", "step", "tokens/s", "plans", "peak memory", "of it the model's"]
    head += ["ssa faster (of rounds)", "ssa's memory"]
    rows = []
    for case in shown:
        for name, side in case["sides"].items():
            cells = side_cells(name, side, case["ratios"].get(name))
            first = name == "ssa"
            label = [case["title"], case["precision"]] if first else ["", ""]
            rows.append(label + cells)
    return "\n\n".join([header(record), table(head, rows), bars_table(shown), NOTES[of]]) + "\n"


COLUMNS = """\
Step: plans, forward, backward, clipping, Adam. Plans: the part of it that draws them and, in
PyTorch, fills their masks. Peak memory: most that was resident; the model's: without what was
resident before it was built."""

NOTES = {
    "compare": f"""{COLUMNS} The bars are against the best of PyTorch eager and
compiled with its public fused attention.""",
    "pictures": f"""{COLUMNS} A token is a sub-pixel. The bars are against the
best of PyTorch eager and compiled, with its public attention and with two plain products.""",
}


def bars_table(shown):
    rows = []
    for case in shown:
        for bar in case["bars"]:
            rows.append([f"{case['title']}, {case['precision']}"] + bar_cells(bar))
    return table(["case", "what", "against", "measured", "bar", "met"], rows) if rows else ""


def bar_cells(bar):
    show = times if bar["unit"] == "times" else (lambda value: f"{100 * value:.3g}%")
    limit = ("≥ " if bar["at_least"] else "≤ ") + show(bar["bar"])
    met = "yes" if bar["met"] else "**no**"
    return [bar["what"], bar["against"] or "itself", show(bar["value"]), limit, met]


def curves_block(record):
    parts = [header(record)]
    for curve in record["curves"]:
        parts.append(f"**{curve['title'][0].upper()}{curve['title'][1:]}** ({curve['precision']})")
        parts.append(curve_table(curve))
        rows = [bar_cells(bar) for bar in curve["bars"]]
        if rows:
            parts.append(table(["what", "against", "measured", "bar", "met"], rows))
    return "\n\n".join(parts) + "\n"


def curve_table(curve):
    axis = curve["name"].rpartition("_")[2]
    known = [part for part in ("forward", "backward", "plans") if part in curve["points"][0]]
    head = [axis, "time", *known, "per position", "against the first"]
    rows = []
    first = next((p["ns_per_position"] for p in curve["points"] if "error" not in p), None)
    for point in curve["points"]:
        if "error" in point:
            failed = f"failed: {point['error'][:160].replace('|', '/')}"
            rows.append([str(point["x"]), failed] + ["–"] * (len(head) - 2))
            continue
        rows.append(
            [str(point["x"]), seconds(point["seconds"])]
            + [seconds(point[part]) for part in known]
            + [f"{point['ns_per_position']:.0f} ns", times(point["ns_per_position"] / first)]
        )
    return table(head, rows)


def blocks(record):
    """name of the markers → text."""
    names = sorted({block_of(case["shape"]) for case in record["cases"]})
    found = {name: compare_block(record, name) for name in names}
    if record.get("curves"):
        found["curves"] = curves_block(record)
    return found
