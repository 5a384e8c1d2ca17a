#!/usr/bin/env python3
"""Reads a run's TensorBoard events and compares them with its metrics.jsonl and samples.

    python3 -m venv venv && venv/bin/pip install tensorboard
    venv/bin/python scripts/check_tensorboard.py RUN_FOLDER

Every number of every line of metrics.jsonl must be a point of the curve "split/name" at that step
(as a 32-bit float), and no curve may have a point more. Every samples/step-N.png must be the image
"samples" of step N, byte for byte and with the size that it says. Exit status 0 if so, 1 if not.
"""

import argparse
import json
import math
import pathlib
import struct
import sys


def to_float32(value):
    """The nearest 32-bit float; TensorBoard keeps no more."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def read_metrics(path):
    """{tag: [(step, value)]}; None stands for a number that was not finite."""
    curves = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            print(f"{path}:{number}: skipped, no complete line", file=sys.stderr)
            continue
        split, step = event.pop("split"), event.pop("step")
        for name, value in event.items():
            curves.setdefault(f"{split}/{name}", []).append((step, value))
    return curves


def read_samples(folder):
    """{step: bytes of the PNG}"""
    paths = (folder / "samples").glob("step-*.png")
    return {int(path.stem.removeprefix("step-")): path.read_bytes() for path in paths}


def read_events(folder):
    """The run as TensorBoard itself sees it."""
    try:
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError:
        sys.exit("this script needs tensorboard: pip install tensorboard")
    keep_all = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    accumulator = event_accumulator.EventAccumulator(str(folder), size_guidance=keep_all)
    accumulator.Reload()
    return accumulator


def curves_of(accumulator):
    """{tag: [(step, value)]}"""
    return {
        tag: [(point.step, point.value) for point in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def images_of(accumulator):
    """{step: image}"""
    if "samples" not in accumulator.Tags()["images"]:
        return {}
    return {image.step: image for image in accumulator.Images("samples")}


def same_value(expected, actual):
    if expected is None:
        return not math.isfinite(actual)
    return to_float32(expected) == actual


def differences(metrics, events):
    """One line of text for each difference."""
    for tag in sorted(metrics.keys() | events.keys()):
        expected, actual = metrics.get(tag, []), events.get(tag, [])
        if [step for step, _ in expected] != [step for step, _ in actual]:
            yield f"{tag}: {len(expected)} points in metrics.jsonl, {len(actual)} in the events, or other steps"
            continue
        for (step, wanted), (_, found) in zip(expected, actual):
            if not same_value(wanted, found):
                yield f"{tag}, step {step}: {wanted} in metrics.jsonl, {found} in the events"


def differences_of_images(samples, images):
    """The same for the pictures."""
    for step in sorted(samples.keys() | images.keys()):
        if step not in images or step not in samples:
            yield f"samples, step {step}: only in {'the folder' if step in samples else 'the events'}"
            continue
        image, png = images[step], samples[step]
        if image.encoded_image_string != png:
            yield f"samples, step {step}: other bytes in the events than in the folder"
        if (image.width, image.height) != struct.unpack(">II", png[16:24]):
            yield f"samples, step {step}: {image.width} x {image.height} is not the picture's size"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=pathlib.Path, help="run folder")
    run = parser.parse_args().run
    accumulator = read_events(run)
    events, images = curves_of(accumulator), images_of(accumulator)
    problems = list(differences(read_metrics(run / "metrics.jsonl"), events))
    problems += differences_of_images(read_samples(run), images)
    for problem in problems:
        print(problem)
    points = sum(len(curve) for curve in events.values())
    print(
        f"{len(events)} curves, {points} points, {len(images)} images, {len(problems)} differences"
    )
    return 1 if problems or not points else 0


if __name__ == "__main__":
    sys.exit(main())
