#!/usr/bin/env python3
"""How long a data-parallel training step takes on R ranks, and where more ranks stop to help.

The model: gradients leave in buckets, in the order in which the backward pass of the last micro-batch
fills them. One collective runs at a time; one of S bytes takes latency by the number of its hops and
S / bandwidth by the share that crosses each link (Hockney's α-β):

    ring all-reduce   2·(R-1)·α + 2·(R-1)/R · S/β        tree   2·log2(R)·α + 2·S/β
    half of it        each of reduce-scatter and all-gather

What is left of the communication when backward ends is exposed. With ZeRO-1 buckets are
reduce-scattered, each rank updates its share of the parameters, and all-gathers them before the next
step. With several ranks a node, sums are taken inside nodes first, and each rank exchanges its share with
its fellows of other nodes.

    step = compute(ceil(batch / R)) · (1 + jitter·√(2 ln R)) + stolen + exposed + update

Strong scaling keeps the global batch, weak scaling the batch a rank. `--fit` estimates α and β from what
`ssa-bench collective` wrote.

    python3 bench/scaling_model.py --parameters 247e6 --sequence-seconds 0.04 --batch 512 \\
        --latency 5e-6 --bandwidth 300e9 --ranks-per-node 8 --node-latency 2e-5 --node-bandwidth 40e9
    python3 bench/scaling_model.py --fit collective.json
"""

import dataclasses
import json
import math
import pathlib
import statistics
import sys

import records


@dataclasses.dataclass(frozen=True)
class Link:
    """A hop between two ranks, and how collectives use such hops."""

    latency: float  # seconds
    bandwidth: float  # bytes per second
    algorithm: str = "ring"  # or tree

    def half(self, size, ranks):
        """Seconds of a reduce-scatter or an all-gather of `size` bytes, all parts together."""
        if ranks == 1:
            return 0.0
        if self.algorithm == "tree":
            return math.ceil(math.log2(ranks)) * self.latency + size / self.bandwidth
        return (ranks - 1) * self.latency + (ranks - 1) / ranks * size / self.bandwidth


@dataclasses.dataclass(frozen=True)
class Network:
    link: Link
    ranks_per_node: int = 1  # ranks that `node` does not connect but `link`; 1: link is all there is
    node: Link | None = None

    def half(self, size, ranks):
        local = min(ranks, self.ranks_per_node) if self.node else ranks
        nodes = math.ceil(ranks / local)
        across = self.node.half(size / local, nodes) if self.node else 0.0
        return self.link.half(size, local) + across

    def all_reduce(self, size, ranks):
        return 2 * self.half(size, ranks)


@dataclasses.dataclass(frozen=True)
class Job:
    """A training step on one rank, and how its gradients travel."""

    parameters: float
    sequence_seconds: float  # forward and backward
    batch: int  # sequences: of all ranks (strong scaling), of each rank (weak)
    micro_batch: int = 1  # sequences of a forward and backward pass, at most
    micro_batch_seconds: float = 0.0  # what each pass costs besides its sequences
    backward_fraction: float = 2 / 3
    update_seconds: float = 0.0  # the optimizer's step for all parameters
    gradient_bytes: int = 4  # of a gradient on the wire: 4 or 2
    parameter_bytes: int = 4  # of a parameter that ZeRO-1 gathers
    bucket: float = 25 * 2**20  # bytes
    overlap: bool = True
    zero1: bool = False
    stolen: float = 0.0  # compute seconds lost for a second of communication beside it: 0 with a
    #                      device that copies by itself, up to 1 on busy cores
    jitter: float = 0.0  # standard deviation of a rank's compute, as a part of it


def compute_seconds(job, sequences):
    """(all of it, its last backward pass) for so many sequences on one rank."""
    passes = math.ceil(sequences / job.micro_batch)
    last = sequences - (passes - 1) * job.micro_batch
    seconds = passes * job.micro_batch_seconds + sequences * job.sequence_seconds
    of_last = job.micro_batch_seconds + last * job.sequence_seconds
    return seconds, of_last * job.backward_fraction


def exposed_seconds(job, network, ranks, backward):
    """(communication that backward does not hide, all of it)."""
    total = job.parameters * job.gradient_bytes
    buckets = max(1, math.ceil(total / job.bucket))
    halves = 1 if job.zero1 else 2
    each = halves * network.half(total / buckets, ranks)
    if not job.overlap:
        return buckets * each, buckets * each
    free = 0.0  # when the last collective so far is done
    for number in range(1, buckets + 1):
        free = max(free, backward * number / buckets) + each
    return max(0.0, free - backward), buckets * each


def step(job, network, ranks, weak=False):
    """What a step on `ranks` ranks consists of, in seconds."""
    sequences = job.batch if weak else math.ceil(job.batch / ranks)
    compute, backward = compute_seconds(job, sequences)
    exposed, communication = exposed_seconds(job, network, ranks, backward)
    stolen = job.stolen * (communication - exposed)
    slowest = job.jitter * math.sqrt(2 * math.log(ranks)) * compute
    update, gather = job.update_seconds, 0.0
    if job.zero1:
        update = job.update_seconds / ranks
        gather = network.half(job.parameters * job.parameter_bytes, ranks)
    return {
        "ranks": ranks,
        "sequences_per_rank": sequences,
        "compute": compute + slowest + stolen,
        "communication": communication + gather,
        "exposed": exposed + gather,
        "update": update,
        "step": compute + slowest + stolen + exposed + gather + update,
    }


def curve(job, network, ranks, weak=False):
    """Steps on each number of ranks, with `speed` (in steps of one rank's batch) and `efficiency`."""
    alone = step(job, network, 1, weak)["step"]
    rows = []
    for number in ranks:
        row = step(job, network, number, weak)
        row["speed"] = alone / row["step"] * (number if weak else 1)
        row["efficiency"] = row["speed"] / number
        rows.append(row)
    return rows


def limit(job, network, weak=False, floor=0.5, most=65536):
    """(ranks, why): the largest power of two that still scales, with at least `floor` efficiency, and
    what stops the next one: "batch" (a sequence cannot be divided), "communication", or "none" up to
    `most`."""
    ranks = 1
    while ranks < most:
        if not weak and 2 * ranks > job.batch:
            return ranks, "batch"
        if curve(job, network, [2 * ranks], weak)[0]["efficiency"] < floor:
            return ranks, "communication"
        ranks *= 2
    return ranks, "none"


def fit(record, dtype=None):
    """α and β of a record of `ssa-bench collective`: least squares of the relative errors over all
    sizes and collectives. Also the median relative error, which says how far to trust them."""
    ranks = record["ranks"]
    rows = [one for one in record["collectives"] if dtype in (None, one["dtype"])]
    a11 = a12 = a22 = b1 = b2 = 0.0
    for one in rows:
        halves = 2 if one["collective"] == "all_reduce" else 1
        hops = halves * (ranks - 1) / one["seconds"]
        size = halves * (ranks - 1) / ranks * one["bytes"] / one["seconds"]
        a11, a12, a22 = a11 + hops * hops, a12 + hops * size, a22 + size * size
        b1, b2 = b1 + hops, b2 + size
    determinant = a11 * a22 - a12 * a12
    latency = max(0.0, (b1 * a22 - b2 * a12) / determinant)
    inverse = (a11 * b2 - a12 * b1) / determinant
    if latency == 0.0:
        inverse = b2 / a22
    link = Link(latency, 1 / inverse)
    errors = [
        abs((2 if one["collective"] == "all_reduce" else 1) * link.half(one["bytes"], ranks)
            / one["seconds"] - 1)
        for one in rows
    ]
    return link, statistics.median(errors)


def table(rows):
    lines = ["| ranks | sequences a rank | compute s | communication s | exposed s | update s | step s "
             "| speed-up | efficiency |", "|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        times = " | ".join(f"{row[key]:.4g}" for key in
                           ("compute", "communication", "exposed", "update", "step"))
        lines.append(f"| {row['ranks']} | {row['sequences_per_rank']} | {times} | {row['speed']:.1f} | "
                     f"{100 * row['efficiency']:.0f}% |")
    return "\n".join(lines)


WHY = {
    "batch": "a sequence a rank is left",
    "communication": "twice as many would be less than {floor:.0%} efficient",
    "none": "no limit found",
}


def parse(arguments):
    parser = records.described(__doc__)
    add = parser.add_argument
    add("--fit", type=pathlib.Path, metavar="FILE", help="print latency and bandwidth, and stop")
    add("--parameters", type=float)
    add("--sequence-seconds", type=float, help="forward and backward of a sequence")
    add("--batch", type=int, default=1, help="sequences: all ranks'; weak: each rank's")
    add("--micro-batch", type=int, default=1)
    add("--micro-batch-seconds", type=float, default=0.0)
    add("--backward-fraction", type=float, default=2 / 3)
    add("--update-seconds", type=float, default=0.0)
    add("--gradient-bytes", type=int, choices=[2, 4], default=4)
    add("--parameter-bytes", type=int, choices=[2, 4], default=4)
    add("--bucket-mib", type=float, default=25)
    add("--no-overlap", action="store_true")
    add("--zero1", action="store_true")
    add("--stolen", type=float, default=0.0)
    add("--jitter", type=float, default=0.0)
    add("--latency", type=float, help="seconds a hop")
    add("--bandwidth", type=float, help="bytes per second a link")
    add("--algorithm", choices=["ring", "tree"], default="ring")
    add("--ranks-per-node", type=int, default=1)
    add("--node-latency", type=float)
    add("--node-bandwidth", type=float)
    add("--ranks", type=int, nargs="+", default=[2**k for k in range(11)])
    add("--weak", action="store_true")
    add("--floor", type=float, default=0.5, help="efficiency below which it has stopped scaling")
    options = parser.parse_args(arguments)
    needed = () if options.fit else ("parameters", "sequence_seconds", "latency", "bandwidth")
    missing = [f"--{name.replace('_', '-')}" for name in needed if getattr(options, name) is None]
    if missing:
        parser.error(f"needs {', '.join(missing)}")
    if (options.node_latency is None) != (options.node_bandwidth is None):
        parser.error("--node-latency and --node-bandwidth go together")
    return options


def main(arguments=None):
    options = parse(arguments)
    if options.fit:
        record = json.loads(options.fit.read_text())
        for dtype in sorted({one["dtype"] for one in record["collectives"]}):
            link, error = fit(record, dtype)
            print(f"{dtype}: latency {link.latency * 1e6:.1f} µs a hop, bandwidth "
                  f"{link.bandwidth * 1e-9:.3f} GB/s a link, median error {100 * error:.0f}%")
        return 0
    node = None
    if options.node_latency is not None:
        node = Link(options.node_latency, options.node_bandwidth, options.algorithm)
    link = Link(options.latency, options.bandwidth, options.algorithm)
    network = Network(link, options.ranks_per_node, node)
    job = Job(options.parameters, options.sequence_seconds, options.batch, options.micro_batch,
              options.micro_batch_seconds, options.backward_fraction, options.update_seconds,
              options.gradient_bytes, options.parameter_bytes, options.bucket_mib * 2**20,
              not options.no_overlap, options.zero1, options.stolen, options.jitter)
    ranks = [r for r in options.ranks if options.weak or r <= options.batch]
    print(table(curve(job, network, ranks, options.weak)))
    most, why = limit(job, network, options.weak, options.floor)
    print(f"\nscales to {most} ranks: {WHY[why].format(floor=options.floor)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
