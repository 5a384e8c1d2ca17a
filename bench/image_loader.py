#!/usr/bin/env python3
"""Reading training pictures: ssa's loader beside PyTorch's, on the same files, in turn.

Both decode JPEGs and apply Swin's recipe: a random resized crop to 224 (bicubic), a flip, RandAugment
rand-m9-mstd0.5-inc1, normalisation, random erasing, mixup or CutMix of batches. ssa reads a prepared
folder, in threads; PyTorch reads the class tree that it was made from, with torchvision's
ImageFolder, timm's transforms and a DataLoader, in processes. Both have as many workers as cores. A
turn reads some batches in a process of its own; the figure of a side is the best of its turns, so
that other programs on the machine disturb it less.

    python bench/image_loader.py --tree imagenette224/train --data data/imagenette
    python bench/image_loader.py --render bench/results/FILE.json

PyTorch: python3 -m venv venv && venv/bin/pip install torch torchvision timm "pillow<13" (13 refuses
one of RandAugment's operations), then run with venv/bin/python.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import machine
import records
import rounds
import sides
import tables

TITLES = {"ssa": "ssa", "torch": "DataLoader, torchvision and timm"}


def ssa_turn(options):
    """Pictures a second of ssa-bench loader."""
    arguments = [
        "loader", "--config", str(records.ROOT / "configs/imagenet_w7_s0.yaml"), "--repeats",
        str(options.batches), "--set", f"data.path={options.data}", "data.classes=0",
        f"data.workers={options.workers}", f"train.batch_size={options.batch}",
        f"train.micro_batch={options.batch}",
    ]
    result, _ = sides.run_ssa_bench(options.ssa_bench, arguments, {}, 900)
    return result["examples_per_second"]


def torch_turn(options):
    """Pictures a second of a DataLoader, in a process of its own."""
    job = {"tree": options.tree, "batch": options.batch, "batches": options.batches,
           "workers": options.workers}
    command = [sys.executable, __file__, "--peer", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        sys.exit(f"image_loader.py: PyTorch failed:\n{done.stderr}")
    return json.loads(done.stdout)["examples_per_second"]


def training_transform():
    """Swin's recipe for one picture."""
    from timm.data import create_transform

    return create_transform(
        224, is_training=True, color_jitter=0.4, auto_augment="rand-m9-mstd0.5-inc1",
        interpolation="bicubic", re_prob=0.25, re_mode="pixel", re_count=1,
    )


def run_peer(job):
    import torch
    from timm.data import Mixup
    from torchvision.datasets import ImageFolder

    torch.set_num_threads(1)
    pictures = ImageFolder(job["tree"], training_transform())
    mixup = Mixup(0.8, 1.0, prob=1.0, switch_prob=0.5, label_smoothing=0.1,
                  num_classes=len(pictures.classes))

    def loader(batches):
        order = torch.randint(len(pictures), (batches * job["batch"],)).tolist()
        return torch.utils.data.DataLoader(
            pictures, job["batch"], sampler=order, num_workers=job["workers"],
        )

    for images, labels in loader(1):  # files come into memory
        mixup(images, labels)
    started = time.perf_counter()
    count = 0
    for images, labels in loader(job["batches"]):
        images, _ = mixup(images, labels)
        count += len(images)
    seconds = time.perf_counter() - started
    print(json.dumps({"examples_per_second": count / seconds}))


def table(record):
    ours = record["sides"]["ssa"]["examples_per_second"]
    rows = []
    for name, side in record["sides"].items():
        rate = side["examples_per_second"]
        rows.append([
            TITLES[name], f"{rate:.0f}", f"{rate / record['workers']:.0f}",
            "" if name == "ssa" else tables.times(ours / rate),
        ])
    return tables.table(["loader", "images/s", "images/s and core", "ssa against it"], rows)


def parse(arguments):
    parser = records.parser(__doc__)
    parser.add_argument("--tree", help="folder of classes, for PyTorch")
    parser.add_argument("--data", help="the same, prepared, for ssa")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=10, help="of a turn")
    parser.add_argument("--workers", type=int, default=machine.cores())
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--peer", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    if options.peer:
        run_peer(options.peer)
        return 0
    if options.render:
        return records.render(options.render, table)
    if not options.tree or not options.data:
        sys.exit("image_loader.py: give --tree and --data, the same pictures for both sides")
    os.environ["OMP_NUM_THREADS"] = "1"
    record = records.head(options) | records.versions(torch="torch", timm="timm", pillow="PIL")
    turns = {"ssa": lambda: ssa_turn(options), "torch": lambda: torch_turn(options)}
    rates = rounds.in_turn(turns, options.rounds, lambda rate: f"{rate:.0f} images/s")
    record |= {
        "workers": options.workers, "batch": options.batch, "batches": options.batches,
        "sides": {n: {"turns": r, "examples_per_second": max(r)} for n, r in rates.items()},
    }
    records.save(records.path_of(options, record, "image-loader"), record)
    print(table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
