#!/usr/bin/env python3
"""A training step of Swin-T: ssa beside timm's swin_tiny, in turn.

A step is forward, backward, clipping and AdamW on a batch of random pictures with soft targets,
in both with drop path 0.2. Not counted: reading pictures. A turn measures one side several times;
the figure of a side is the least over all turns, so that other programs on the machine disturb it
less.

    python bench/swin_step.py --ssa-bench build/release/bin/ssa-bench
    python bench/swin_step.py --render bench/results/FILE.json

PyTorch: python3 -m venv venv && venv/bin/pip install torch timm, then run with venv/bin/python.
"""

import os
import sys
import time

import machine
import records
import rounds
import sides
import tables

# case → (config, window of the peer). timm has nothing like subsampling: dense windows stand for it.
CASES = {
    "w7_s0": ("imagenet_w7_s0", 7),
    "w14_s0": ("imagenet_w14_s0", 14),
    "w14_s10_l4": ("imagenet_w14_s10_l4", 14),
}
TITLES = {
    "ssa": "ssa",
    "timm": "timm, eager",
    "timm_last": "timm, eager, channels_last",
    "timm_compile": "timm, compiled",
}


def ssa_turn(options, case, precision):
    """Median seconds of a step of ssa-bench step."""
    arguments = [
        "step", "--config", str(records.ROOT / f"configs/{CASES[case][0]}.yaml"), "--device", "cpu",
        "--precision", precision, "--repeats", str(options.repeats), "--set",
        f"train.batch_size={options.batch}", f"train.micro_batch={options.batch}",
    ]
    settings = sides.ssa_environment(options.threads, {})
    result, _ = sides.run_ssa_bench(options.ssa_bench, arguments, settings, 900)
    return result["step_seconds"]


class TimmSide:
    """swin_tiny in this process, warm between its turns."""

    def __init__(self, peer, window, precision, batch):
        import timm
        import torch

        torch.manual_seed(1)
        self.precision = precision
        self.model = timm.create_model(
            "swin_tiny_patch4_window7_224", pretrained=False, window_size=window,
            drop_path_rate=0.2,
        )
        self.images = torch.randn(batch, 3, 224, 224)
        if peer == "timm_last":
            self.model.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        labels = torch.arange(batch) % 1000
        self.targets = 0.9 * torch.nn.functional.one_hot(labels, 1000) + 0.1 / 1000
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.05)
        self.forward = torch.compile(self.model) if peer == "timm_compile" else self.model
        self.turn(2)

    def loss(self):
        import torch

        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.forward(self.images)
        return -(self.targets * torch.log_softmax(logits.float(), 1)).sum(1).mean()

    def turn(self, repeats):
        """Median seconds of a step, as ssa-bench gives."""
        import torch

        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            self.optimizer.zero_grad()
            self.loss().backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self.optimizer.step()
            seconds.append(time.perf_counter() - started)
        return sorted(seconds)[repeats // 2]


def measure(options, case, precision):
    """One case: seconds of every turn of every side, and the least."""
    turns = {"ssa": lambda: ssa_turn(options, case, precision)}
    for peer in options.peers:
        side = TimmSide(peer, CASES[case][1], precision, options.batch)
        turns[peer] = lambda of=side: of.turn(options.repeats)
    records.say(f"{case} {precision}")
    measured = rounds.in_turn(turns, options.rounds, lambda seconds: f"{seconds:.3f} s")
    found = {n: {"turns": t, "step_seconds": min(t)} for n, t in measured.items()}
    return {"case": case, "precision": precision, "sides": found}


def table(record):
    rows = []
    for case in record["cases"]:
        ours = case["sides"]["ssa"]["step_seconds"]
        for name, side in case["sides"].items():
            first, seconds = name == "ssa", side["step_seconds"]
            rows.append([
                f"{case['case']}, {case['precision']}" if first else "",
                TITLES[name],
                f"{seconds:.3f} s",
                f"{record['batch'] / seconds:.1f}",
                "" if first else tables.times(seconds / ours),
            ])
    return tables.table(["case", "side", "step", "images/s", "time against ssa's"], rows)


def parse(arguments):
    parser = records.parser(__doc__)
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    both, peers = ["fp32", "bf16"], list(TITLES)[1:]
    parser.add_argument("--precisions", nargs="+", choices=both, default=both)
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3, help="steps of a turn")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    if options.render:
        return records.render(options.render, table)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    found = records.versions(torch="torch", timm="timm")
    import torch

    torch.set_num_threads(options.threads)
    record = records.head(options) | found | {
        "threads": options.threads, "batch": options.batch, "rounds": options.rounds,
        "repeats": options.repeats, "cases": [],
    }
    output = records.path_of(options, record, "swin-step")
    for precision in options.precisions:
        for case in options.cases:
            record["cases"].append(measure(options, case, precision))
            records.save(output, record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
