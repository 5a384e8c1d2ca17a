#!/usr/bin/env python3
"""Checks that the peer of egt_step.py is EGT-Simple: predictions, loss and gradients of
egt_pytorch's golden case, and that padding and batch mates do not show.

    python bench/test_pytorch_egt.py

Prints one line a check; the exit status is 1 if one fails, 77 without torch: then
nothing is checked.
"""

import json
import pathlib
import struct
import sys
import tempfile

try:
    import torch
except ModuleNotFoundError:
    print("skipped: needs torch")
    sys.exit(77)
import checks
import egt_step
from pytorch_egt import ATOM_FEATURES, Egt, Shape, Trainer, chain, made_up

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/fixtures/golden/egt.safetensors"
# Of seven steps, as in tests/models/egt_golden_test.cpp.
LOSSES = [5.160162264025, 4.617560102905, 4.076071238599, 3.538566176959, 3.005951904707, 2.480601921942,
          1.961719429438]
DTYPES = {"F64": torch.float64, "F32": torch.float32, "I32": torch.int32}
TINY = Shape(layers=2, width=16, ffn_width=8, heads=4, edge_width=8, virtual_nodes=2, hops=3)

# Writes what ssa-bench would.
FAKE_SSA = """#!/bin/sh
if [ "$1" = --version ]; then echo 'ssa-bench 0 (commit none)'; exit; fi
while [ "$1" != --json ]; do shift; done
echo '{"step_seconds": 0.5, "resident_before_bytes": 1048576, "peak_resident_bytes": 3145728, "rows_of_graphs": [14, 19]}' > "$2"
"""


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, of in header.items():
        begin, end = (8 + length + offset for offset in of["data_offsets"])
        values = torch.frombuffer(bytearray(data[begin:end]), dtype=DTYPES[of["dtype"]])
        found[name] = values.reshape(of["shape"])
    return found


def padded(golden):
    """The fixture's packed molecules as a padded batch."""
    sizes = golden["sizes"].tolist()
    batch = made_up(sizes, Shape())
    batch["encodings"] = batch["encodings"].double()
    atom = pair = 0
    for g, n in enumerate(sizes):
        batch["atoms"][g, :n] = golden["atoms"][atom : atom + n]
        batch["encodings"][g, :n] = golden["encodings"][atom : atom + n]
        batch["distances"][g, :n, :n] = golden["distances"][pair : pair + n * n].view(n, n)
        batch["bonds"][g, :n, :n] = golden["bonds"][pair : pair + n * n].view(n, n, 3)
        atom, pair = atom + n, pair + n * n
    batch.pop("target")
    return batch


def close(got, wanted, what):
    error = float((got - wanted).detach().abs().max() / wanted.abs().max())
    assert error < 1e-9, f"{what} is off by {error:.1e}"


def golden_model():
    golden = read_safetensors(GOLDEN)
    weights = {n.removeprefix("weight."): t.double() for n, t in golden.items() if "weight." == n[:7]}
    rows = len(weights["embedding.atom.weight"])
    model = Egt(Shape(layers=3, width=48, ffn_width=48, heads=4, edge_width=16, hops=4,
                      atom_rows=rows)).double()
    model.load_ssa(weights)
    return golden, model


def check_golden():
    golden, model = golden_model()
    out = model(**padded(golden))
    close(out, golden["prediction"], "the prediction")
    cotangent = torch.tensor([0.7, -1.3, 0.45], dtype=torch.float64)
    loss = (out - golden["target"]).abs().mean()
    close(loss.reshape(1), golden["loss"], "the loss")
    for kind, start in (("grad", (out * cotangent).sum()), ("grad_l1", loss)):
        model.zero_grad()
        start.backward(retain_graph=True)
        compared = 0
        for name, got in model.gradients().items():
            # A shift of all of a head's logits changes nothing: this gradient is rounding alone.
            if f"{kind}.{name}" not in golden or name.endswith("pair_bias.bias"):
                continue
            close(got, golden[f"{kind}.{name}"], f"{kind} of {name}")
            compared += 1
        assert compared > 10, compared


def check_training():
    golden, model = golden_model()
    batch, optimizer = padded(golden), torch.optim.Adam(model.parameters(), lr=1e-4)
    for wanted in LOSSES:
        loss = (model(**batch) - golden["target"]).abs().mean()
        assert abs(float(loss.detach()) - wanted) < 1e-11, (float(loss.detach()), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def check_padding():
    torch.manual_seed(3)
    model = Egt(TINY)
    together = model(**{k: v for k, v in made_up([9, 1, 4], TINY).items() if k != "target"})
    for g, n in enumerate([9, 1, 4]):
        alone = model(**{k: v for k, v in made_up([n], TINY).items() if k != "target"})
        assert abs(float(together[g] - alone[0])) < 1e-5, g


def check_parameters():
    count = sum(parameter.numel() for parameter in Egt(Shape()).parameters())
    assert count == 11411009, count


def check_chain():
    distances, rows = chain(8)  # atoms 2 and 7 close a ring of six
    assert distances[0].tolist() == [0, 1, 2, 3, 4, 5, 4, 3], distances[0]
    assert torch.equal(distances, distances.T)
    assert rows[2, 7].tolist() == rows[7, 2].tolist() == [1, 9, 17] and rows[0, 2].sum() == 0
    assert chain(1)[0].tolist() == [[0]]
    assert made_up([2], TINY)["atoms"].shape == (1, 2, ATOM_FEATURES)


def check_learning():
    trainer = Trainer(TINY, [3, 5], False)
    losses = [trainer.step() for _ in range(20)]
    assert losses[-1] < losses[0], losses


def check_record():
    with tempfile.TemporaryDirectory() as folder:
        fake, output = pathlib.Path(folder) / "ssa-bench", pathlib.Path(folder) / "out.json"
        fake.write_text(FAKE_SSA)
        fake.chmod(0o755)
        arguments = ["--cases", "s0", "--peers", "eager", "--batch", "2", "--rounds", "2"]
        arguments += ["--steps", "1", "--threads", "1", "--layers", "1"]
        egt_step.main([*arguments, "--ssa-bench", str(fake), "--output", str(output)])
        record = json.loads(output.read_text())
        assert record["sizes"] == [10, 15], record["sizes"]
        turns = record["sides"]["eager"]
        assert len(turns) == 2 and all(t["peak_resident_bytes"] > 0 for t in turns), turns
        # One side's memory is what its process grew by.
        record["sides"]["eager"] = [{"seconds": 2.0, "resident_before_bytes": 0,
                                     "peak_resident_bytes": 8 * 2**20}]
        text = egt_step.table(record)
        assert "| s0 | 0.500 s | 4.0 | 3 MiB |  |" in text, text
        assert "| PyTorch, eager | 2.000 s | 1.0 | 8 MiB | s0: 4.00×, 0.38× |" in text, text


if __name__ == "__main__":
    sys.exit(checks.run({
        "predictions, loss and gradients of egt_pytorch": check_golden,
        "the losses that tests/models/egt_golden_test.cpp has": check_training,
        "padding and batch mates do not show": check_padding,
        "parameters of the published size": check_parameters,
        "the made-up molecule": check_chain,
        "it learns": check_learning,
        "the record and its table": check_record,
    }))
