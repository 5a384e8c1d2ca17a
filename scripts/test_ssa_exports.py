#!/usr/bin/env python3
"""Trains a tiny model of each task for two steps, exports it, and checks that ssa_torch.py predicts what
ssa-eval does: with dense attention, and as a sub-model of an ensemble, over the plans of ssa_plans.py.

    python scripts/test_ssa_exports.py

Needs the programs in build/release/bin. Prints one line a check; the exit status is 1 if one fails, 77
without torch and safetensors or without the programs: then nothing is checked.
"""

import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "build/release/bin"
try:
    import safetensors  # noqa: F401
    import torch
except ModuleNotFoundError:
    print("skipped: needs torch and safetensors")
    sys.exit(77)
if not all((PROGRAMS / name).exists() for name in ("ssa-convert", "ssa-data", "ssa-eval", "ssa-train")):
    print(f"skipped: needs the programs in {PROGRAMS}")
    sys.exit(77)
import ssa_graphs
import ssa_plans
import ssa_torch

sys.path.insert(0, str(ROOT / "bench"))
import checks  # noqa: E402

SAMPLED = {"layers": 1, "sigma": {"first": 0.3, "last": 0.3}}
LOCAL, UNBIASED = SAMPLED | {"kind": "local", "windows": 4}, SAMPLED | {"kind": "unbiased"}
DECODER = {"layers": 2, "width": 24, "ffn_width": 40, "heads": 3}


def program(name, *arguments):
    """Its standard output."""
    done = subprocess.run([PROGRAMS / name, *map(str, arguments)], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, f"{name} ended with {done.returncode}: {done.stderr}"
    return done.stdout


class Run:
    """Two steps of training, and the model that was exported then."""

    def __init__(self, folder, config):
        self.folder = folder / "run"
        train = {"steps": 2, "batch_size": 4, "optimizer": {"lr": 0.01}, "eval_every": 0}
        path, exported = folder / "config.yaml", folder / "model.safetensors"
        path.write_text(json.dumps({"train": train} | config))  # JSON is YAML
        program("ssa-train", "--config", path, "--run-dir", self.folder, "--quiet")
        program("ssa-convert", "export", "--run", self.folder, "--layout", "ssa", "--output", exported)
        self.model = ssa_torch.load(exported)

    def predictions(self, *options):
        """Of the validation items, by ssa-eval."""
        text = program("ssa-eval", "--run", self.folder, "--split", "valid", "--predictions", "-",
                       *options)
        return [json.loads(line) for line in text.splitlines()]

    def of_sub_model(self):
        return self.predictions("--mode", "ensemble", "--samples", "1")

    def key(self, item):
        """Of the sub-model's plans for an item."""
        return ssa_plans.Key(self.model.config["train"]["seed"], ssa_plans.ENSEMBLE, step=item)


def close(got, wanted, what):
    wanted = torch.tensor(wanted)
    assert got.shape == wanted.shape, f"{what}: {got.shape} instead of {wanted.shape}"
    error = float((got - wanted).detach().abs().max())
    assert error < 2e-5, f"{what} is off by {error:.1e}"


# ---- text ---------------------------------------------------------------------------------------


def check_text(run, tokens, start, length):
    """`tokens` (N) of the split, behind the token `start`."""
    targets = tokens.view(-1, length)
    inputs = torch.cat([torch.tensor([start]), tokens[:-1]]).view(-1, length)
    close(run.model.losses(inputs, targets), [line["losses"] for line in run.predictions()],
          "a loss")
    sub_model = run.of_sub_model()
    for item in (0, len(targets) - 1):
        plans = ssa_plans.draw(run.model.config, run.key(item), length)
        got = run.model.losses(inputs[item : item + 1], targets[item : item + 1], plans)
        close(got[0], sub_model[item]["losses"], f"a loss of the sub-model, window {item}")


def check_bytes(**changes):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        text = bytes(random.Random(1).choices(range(32, 127), k=2560))
        (folder / "text").write_bytes(text)
        run = Run(folder, {"task": "byte_lm", "model": DECODER | changes.pop("model", {}),
                           "ssa": LOCAL, "data": {"path": str(folder / "text"), "length": 32},
                           **changes})
        check_text(run, torch.tensor(list(text[2304:2432])), ord("\n"), 32)


def check_words(tied):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        words = [f"w{number}" for number in range(40)]
        draws = random.Random(2)
        for split, lines in (("train", 60), ("valid", 8), ("test", 8)):
            text = "".join(" ".join(draws.choices(words, k=15)) + "\n" for _ in range(lines))
            (folder / f"{split}.txt").write_text(text)
        inputs = [word for split in ("train", "valid", "test")
                  for word in ("--input", folder / f"{split}.txt")]
        program("ssa-data", "prepare", "words", *inputs, "--output", folder / "data")
        embedding = {"kind": "adaptive", "cutoffs": [10, 25], "factor": 2, "tie_weights": tied,
                     "tie_projections": tied}
        run = Run(folder, {
            "task": "word_lm", "ssa": UNBIASED, "data": {"path": str(folder / "data"), "length": 16},
            "model": DECODER | {"embedding": embedding, "final_norm": False}})
        stored = (folder / "data/tokens.bin").read_bytes()[32:]
        tokens = torch.tensor(struct.unpack(f"<{len(stored) // 4}i", stored))
        line_end = int(tokens[15])  # the sixteenth token of each line
        check_text(run, tokens[60 * 16 : 68 * 16], line_end, 16)


# ---- pictures -----------------------------------------------------------------------------------


def png(pixels):
    """The file of a picture (R, R, 3) of bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = len(pixels)
    rows = b"".join(b"\0" + bytes(row.flatten().tolist()) for row in pixels)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_pictures(folder, side, valid):
    """Eight pictures of two classes to train on, and others for validation, (B, R, R, 3), whose order
    is that of the data set."""
    numbers = torch.Generator().manual_seed(3)
    for split, count in (("train", 8), (valid, 4)):
        pictures = torch.randint(256, (count, side, side, 3), generator=numbers)
        for number, pixels in enumerate(pictures):
            of_class = folder / split / f"c{2 * number // count}"
            of_class.mkdir(parents=True, exist_ok=True)
            (of_class / f"{number}.png").write_bytes(png(pixels))
    return pictures


def check_pictures(**changes):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pictures = write_pictures(folder / "tree", 4, "valid")
        program("ssa-data", "prepare", "images", "--input", folder / "tree", "--output",
                folder / "data")
        data = {"path": str(folder / "data"), "image_size": 4}
        data |= changes.pop("data", {})
        model = DECODER | {"position": "relative_2d"} | changes
        run = Run(folder, {"task": "image_generation", "model": model, "ssa": LOCAL, "data": data})
        close(run.model.losses(pictures), [line["losses"] for line in run.predictions()], "a loss")
        sub_model = run.of_sub_model()
        for item in (0, 3):
            plans = ssa_plans.draw(run.model.config, run.key(item))
            got = run.model.losses(pictures[item : item + 1], plans=plans)
            close(got[0], sub_model[item]["losses"], f"a loss of the sub-model, picture {item}")


def check_classes(**ssa):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pictures = write_pictures(folder / "tree", 32, "val")
        program("ssa-data", "prepare", "imagenet", "--input", folder / "tree", "--output",
                folder / "data")
        swin = {"embed_width": 16, "depths": [2, 2], "heads": [1, 2], "window": 4, "patch": 4}
        run = Run(folder, {
            "task": "image_classification", "model": {"swin": swin}, "ssa": SAMPLED | {"layers": 3} | ssa,
            "data": {"path": str(folder / "data"), "image_size": 32, "resize": 32}})
        mean, deviation = (torch.tensor(of)[:, None, None] for of in (
            (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        images = (pictures.permute(0, 3, 1, 2) / 255 - mean) / deviation
        close(torch.log_softmax(run.model(images), -1),
              [line["log_probabilities"] for line in run.predictions()], "a log-probability")
        sub_model = run.of_sub_model()
        for item in (0, 3):
            plans = ssa_plans.draw(run.model.config, run.key(item))
            got = torch.log_softmax(run.model(images[item : item + 1], plans), -1)
            close(got[0], sub_model[item]["log_probabilities"], f"the sub-model, picture {item}")


# ---- molecules ----------------------------------------------------------------------------------


def has_equal_values(graph):
    """Whether vectors of its encodings are not determined."""
    count = len(graph["node_feat"])
    adjacency = torch.eye(count, dtype=torch.float64)
    adjacency[tuple(graph["edge_index"])] = 1
    values = torch.linalg.eigvalsh(adjacency).abs().sort(descending=True).values[:9]
    return bool((values.diff().abs() < 1e-3).any())


def ogb_graphs():
    """Those of the fixture whose encodings are determined, with their SMILES."""
    fixture = json.loads((ROOT / "tests/fixtures/molecules/ogb.json").read_text())
    for of in fixture["molecules"]:
        edges = [(i, j, *features) for i, j, *features in of["bonds"]]
        both = torch.tensor(edges + [(j, i, *features) for i, j, *features in edges],
                            dtype=torch.long).view(-1, 5)
        graph = {"node_feat": of["atoms"], "edge_index": both[:, :2].T, "edge_feat": both[:, 2:]}
        if len(of["atoms"]) > 2 and not has_equal_values(graph):
            yield of["smiles"], graph


def check_molecules():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        smiles, graphs = zip(*ogb_graphs())
        assert len(graphs) > 10, len(graphs)
        rows = "".join(f'"{text}",{len(text) / 10}\n' for text in smiles)
        (folder / "table.csv").write_text("smiles,target\n" + rows)
        program("ssa-data", "prepare", "molecules", "--input", folder / "table.csv", "--smiles", "smiles",
                "--target", "target", "--valid-from", 4, "--output", folder / "data")
        run = Run(folder, {
            "task": "graph_regression", "data": {"path": str(folder / "data")}, "ssa": UNBIASED,
            "model": {"layers": 2, "width": 24, "ffn_width": 24, "heads": 3, "activation": "elu",
                      "egt": {"edge_width": 8, "hops": 6, "virtual_nodes": 2, "svd_rank": 5}}})
        config, items = run.model.config, range(4, len(graphs))
        batch = ssa_graphs.batch(graphs[4:], config)
        close(run.model(**batch), [line["prediction"] for line in run.predictions()], "a prediction")
        plans = ssa_graphs.draw(config, run.key(0), batch["sizes"], items)
        close(run.model(**batch, plans=plans), [line["prediction"] for line in run.of_sub_model()],
              "a prediction of the sub-model")


if __name__ == "__main__":
    sys.exit(checks.run({
        "bytes": check_bytes,
        "bytes, without ALiBi and a final norm, not tied": lambda: check_bytes(
            model={"position": "none", "final_norm": False, "activation": "gelu_tanh",
                   "embedding": {"tie_weights": False}}),
        "words, tied": lambda: check_words(True),
        "words, not tied": lambda: check_words(False),
        "pictures": check_pictures,
        "pictures, with a shared causal table and no augmentation": lambda: check_pictures(
            relative_rows="causal", relative_shared=True, data={"augment": []}),
        "pictures, with a table of pixels and channels": lambda: check_pictures(
            relative_columns="pixels_and_channels", activation="relu"),
        "classes of pictures": lambda: check_classes(kind="local", windows=4),
        "classes of pictures, unbiased": lambda: check_classes(kind="unbiased"),
        "molecules": check_molecules,
    }))
