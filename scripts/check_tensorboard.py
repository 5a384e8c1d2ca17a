#!/usr/bin/env python3
"""Reads a run's TensorBoard events and compares them with its metrics.jsonl and samples.

    python3 -m venv venv && venv/bin/pip install tensorboard
    venv/bin/python scripts/check_tensorboard.py RUN_FOLDER

Every number of every line of metrics.jsonl must be a point of the curve "split/name" at that step
(as a 32-bit float), those of layers of "split/name/layer", and no curve may have a point more.
Every samples/step-N.png must be the image "samples" of step N, byte for byte and with the size that
it says, every samples/step-N.txt the text "samples". The plugin of hyperparameters must read every
key of config.yaml that is a number. Exit status 0 if so, 1 if not.
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
            layers = value.items() if isinstance(value, dict) else [("", value)]
            for layer, number in layers:
                tag = f"{split}/{name}/{layer}" if layer else f"{split}/{name}"
                curves.setdefault(tag, []).append((step, number))
    return curves


def read_samples(folder, suffix):
    """{step: bytes of the file}"""
    paths = (folder / "samples").glob(f"step-*.{suffix}")
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


def texts_of(accumulator):
    """{step: the text as it is shown}"""
    if "samples" not in accumulator.Tags()["tensors"]:
        return {}
    return {
        event.step: event.tensor_proto.string_val[0].decode()
        for event in accumulator.Tensors("samples")
    }


def hyperparameters_of(accumulator):
    """{key: value} as the plugin reads them"""
    from tensorboard.plugins.hparams import metadata

    content = accumulator.PluginTagToContent(metadata.PLUGIN_NAME)
    start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    return {
        key: getattr(value, value.WhichOneof("kind")) for key, value in start.hparams.items()
    }


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


def differences_of_texts(samples, texts):
    """The same for the texts, which are blocks of code in Markdown."""
    for step in sorted(samples.keys() | texts.keys()):
        lines = samples.get(step, b"").decode(errors="replace").split("\n")
        shown = texts.get(step, "").split("\n")
        if lines != [line[4:] for line in shown] or any(line[:4] != "    " for line in shown):
            yield f"samples, step {step}: other text in the events than in the folder"


def differences_of_hyperparameters(folder, values):
    """The keys of config.yaml, a line each, against those of the plugin."""
    keys = []
    for line in (folder / "config.yaml").read_text().splitlines():
        name, _, value = line.split("#")[0].partition(":")
        depth = (len(name) - len(name.lstrip())) // 2
        keys[depth:] = [name.strip()]
        try:
            wanted = float(value)
        except ValueError:
            continue
        key = ".".join(keys)
        if values.get(key) != wanted:
            yield f"{key}: {wanted} in config.yaml, {values.get(key)} for the plugin hparams"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=pathlib.Path, help="run folder")
    run = parser.parse_args().run
    accumulator = read_events(run)
    events, images = curves_of(accumulator), images_of(accumulator)
    problems = list(differences(read_metrics(run / "metrics.jsonl"), events))
    problems += differences_of_images(read_samples(run, "png"), images)
    problems += differences_of_texts(read_samples(run, "txt"), texts_of(accumulator))
    hyperparameters = hyperparameters_of(accumulator)
    problems += differences_of_hyperparameters(run, hyperparameters)
    for problem in problems:
        print(problem)
    points = sum(len(curve) for curve in events.values())
    print(
        f"{len(events)} curves, {points} points, {len(images)} images, "
        f"{len(hyperparameters)} hyperparameters, {len(problems)} differences"
    )
    return 1 if problems or not points else 0


if __name__ == "__main__":
    sys.exit(main())
