#!/usr/bin/env python3
"""Checks ssa_torch.py against the golden runs, and its command line.

    python scripts/test_ssa_torch.py

Prints one line a check; the exit status is 1 if one fails, 77 without torch, safetensors and numpy:
then nothing is checked.
"""

import contextlib
import io
import json
import math
import pathlib
import sys
import tempfile

try:
    import numpy  # noqa: F401
    import safetensors.torch
    import torch
    import torch.nn.functional as F
except ModuleNotFoundError:
    print("skipped: needs torch, safetensors and numpy")
    sys.exit(77)
import make_golden
import make_golden_image
import ssa_graphs
import ssa_torch

FIXTURES = make_golden.OUTPUT.parent
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "bench"))
import checks  # noqa: E402

TINY_EGT = {
    "task": "graph_regression",
    "model": {"layers": 3, "width": 48, "ffn_width": 48, "heads": 4, "activation": "elu",
              "egt": {"edge_width": 16, "virtual_nodes": 4, "hops": 4, "svd_rank": 8,
                      "logit_clip": 5.0, "degree_scaling": True}},
}


def close(got, wanted, bound, what):
    """Whether got is wanted up to `bound` of the largest number in it."""
    got, wanted = got.detach(), wanted.detach()
    error = float((got - wanted).abs().max() / wanted.abs().max())
    assert error <= bound, f"{what} is off by {error:.1e}"


# ---- attention ----------------------------------------------------------------------------------


def check_attention():
    """attend() is PyTorch's own attention over all pairs, with a mask."""
    torch.manual_seed(1)
    query, key, value = torch.randn(3, 2, 12, 3, 5, dtype=torch.float64)
    plan = torch.arange(12).view(3, 4), torch.tensor([[2, 7, 1], [9, 4, 0], [10, 3, 5]])
    slopes = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    got = ssa_torch.attend(query, key, value, plan, ssa_torch.causal_bias(plan, slopes))

    position = torch.arange(12)
    distance = position[:, None] - position
    seen = torch.zeros(12, 12, dtype=torch.bool)
    for targets, sources in zip(*plan):
        seen[targets[:, None], sources] = True
    seen &= distance >= 0
    blind = ~seen.any(-1)
    assert blind.tolist() == [True] + 11 * [False], blind
    mask = (-slopes[:, None, None] * distance).masked_fill(~seen, -math.inf)
    mask = mask.masked_fill(blind[:, None], 0.0)
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
    close(got, wanted.masked_fill(blind[:, None, None], 0.0), 1e-12, "attention")


def check_slopes():
    def slopes(heads):
        return ssa_torch.alibi_slopes(heads).log2().tolist()

    assert slopes(4) == [-2, -4, -6, -8], slopes(4)
    assert slopes(6) == [-2, -4, -6, -8, -1, -3], slopes(6)


def check_plans():
    """Arrays of NumPy serve too; a plan that is missing is named."""
    model = ssa_torch.DecoderLm(make_golden.make_config("plain"), 256).eval()
    tokens = torch.randint(256, (1, 20))
    dense = make_golden.dense_plan()
    close(model(tokens, [dense, None]), model(tokens), 1e-6, "a logit")
    try:
        model(tokens, [dense])
    except ValueError as error:
        assert "1 plans for 2 layers" in str(error), error
    else:
        raise AssertionError("a plan is missing, and nobody says so")


def check_dropout():
    """It acts after train() and not after eval(); drop path leaves out whole examples."""
    torch.manual_seed(3)
    config = make_golden.make_config("plain")
    config["model"] |= {"dropout": 0.5, "attention_dropout": 0.5, "activation_dropout": 0.5}
    model = ssa_torch.DecoderLm(config, 256)
    tokens = torch.randint(256, (1, 20))
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))
    dropped = ssa_torch.DropPath(0.75)(torch.ones(2000, 3, 2)).flatten(1)
    assert torch.equal(dropped.min(1).values, dropped.max(1).values)
    assert dropped.unique().tolist() == [0, 4] and abs(float(dropped.mean()) - 1) < 0.2, dropped.mean()


def check_autocast():
    torch.manual_seed(4)
    model = ssa_torch.DecoderLm(make_golden.make_config("adaptive_untied"), 150).eval()
    tokens = torch.randint(150, (2, 20))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(tokens)
    close(rounded.float(), model(tokens), 0.02, "a log-probability")


# ---- golden runs --------------------------------------------------------------------------------


def check_decoders():
    """What make_golden.py makes today is what is in the fixtures, gradients and ten steps of Adam
    included."""
    for name, run in make_golden.make_runs()[0].items():
        wanted = safetensors.torch.load_file(make_golden.OUTPUT / f"{name}.safetensors")
        assert run.keys() == wanted.keys(), run.keys() ^ wanted.keys()
        for tensor, values in run.items():
            error = float((values.double() - wanted[tensor].double()).abs().max())
            assert error < 1e-12, f"{tensor} of {name} is off by {error:.1e}"


def largest_difference(got, wanted):
    """Between the numbers of two nested structures that are alike otherwise."""
    if isinstance(wanted, float):
        return abs(got - wanted)
    if isinstance(wanted, dict):
        assert got.keys() == wanted.keys(), got.keys() ^ wanted.keys()
        got, wanted = list(got.values()), list(wanted.values())
    if not isinstance(wanted, list):
        assert got == wanted, (got, wanted)
        return 0.0
    return max(largest_difference(*pair) for pair in zip(got, wanted, strict=True))


def check_images():
    wanted = json.loads((make_golden.OUTPUT / "image.json").read_text(encoding="utf-8"))
    for name, run in make_golden_image.make_runs().items():
        error = largest_difference(run, wanted[name])
        assert error < 1e-12, f"{name} is off by {error:.1e}"


def swin_value(name, number, count):
    """`count` numbers of timm's tensor `number`, as tests/models/swin_golden_test.cpp has them."""
    factor, base = 0.08, 0.0
    if name == "patch_embedding.weight":
        factor = 0.3
    elif name.endswith("relative_bias"):
        factor = 1.5
    elif name.endswith(".bias"):
        factor = 0.1
    elif "norm" in name:
        factor, base = 0.2, 1.0
    return base + factor * torch.from_numpy(make_golden_image.noise(number, count))


def golden_swin(window):
    """Swin-T in float64, with values that are numbered as timm numbers its tensors: there query, key
    and value are one."""
    swin = {"embed_width": 96, "depths": [2, 2, 6, 2], "heads": [3, 6, 12, 24], "window": window,
            "patch": 4, "ffn_ratio": 4}
    model = ssa_torch.Swin({"model": {"swin": swin}, "data": {"image_size": 224}}, 1000).double()
    state, number = model.state_dict(), 0
    for name in [n for n in state if ".key." not in n and ".value." not in n]:
        parts = [name]
        if ".query." in name:
            parts = [name.replace("query", part) for part in ("query", "key", "value")]
        values = swin_value(name, number, len(parts) * state[name].numel()).chunk(len(parts))
        for part, of_part in zip(parts, values):
            state[part].copy_(of_part.view_as(state[part]))
        number += 1
    return model


def fixed_plan(stage, shift):
    """Each window of 14 x 14 in four of 7 x 7: cell k of window n has cell (45k + 7n) mod 196 as its
    source."""
    cells, _ = ssa_torch.window_plan(stage.side, 14, shift)  # (W, 196)
    place = torch.arange(196).view(2, 7, 2, 7).transpose(1, 2).reshape(4, 49)
    landed = (45 * place + 7 * torch.arange(len(cells))[:, None, None]) % 196
    sources = cells.gather(1, landed.flatten(1)).view(-1, 49)
    return cells[:, place].view(-1, 49), sources


def check_swin(name, window, sampled=range(0)):
    golden = json.loads((FIXTURES / "swin_golden.json").read_text(encoding="utf-8"))[name]
    model = golden_swin(window)
    plans = []
    for stage in model.stages:
        for number in range(len(stage.blocks)):
            fixed = len(plans) in sampled
            plans.append(fixed_plan(stage, 7 * (number % 2 and stage.side > 14)) if fixed else None)
    images = 2 * make_golden_image.noise(1000, 2 * 3 * 224**2)
    with torch.no_grad():
        logits = model(torch.from_numpy(images).view(2, 3, 224, 224), plans)
    first = torch.tensor(golden["first_logits"], dtype=torch.float64)
    close(logits[0, : len(first)], first, 1e-10, "a logit")
    square = torch.tensor(golden["sum_of_squares"], dtype=torch.float64)
    close(logits.square().sum(), square, 1e-12, "the sum of squares")
    loss = torch.tensor(golden["loss"], dtype=torch.float64)
    close(F.cross_entropy(logits, torch.tensor([3, 7])), loss, 1e-12, "the loss")


def golden_molecules(golden):
    """The fixture's packed molecules, padded."""
    sizes = golden["sizes"].long()
    count, most = len(sizes), int(sizes.max())
    batch = {
        "atoms": torch.zeros(count, most, 9, dtype=torch.long),
        "encodings": torch.zeros(count, most, 16, dtype=torch.float64),
        "distances": torch.zeros(count, most, most, dtype=torch.long),
        "bonds": torch.zeros(count, most, most, 3, dtype=torch.long),
    }
    atom = pair = 0
    for g, n in enumerate(sizes.tolist()):
        for name in ("atoms", "encodings"):
            batch[name][g, :n] = golden[name][atom : atom + n]
        for name in ("distances", "bonds"):
            rows = golden[name][pair : pair + n * n]
            batch[name][g, :n, :n] = rows.view(n, n, *rows.shape[1:])
        atom, pair = atom + n, pair + n * n
    return batch | {"sizes": sizes}


def check_egt():
    golden = safetensors.torch.load_file(make_golden.OUTPUT / "egt.safetensors")
    weights = {n.removeprefix("weight."): t for n, t in golden.items() if n.startswith("weight.")}
    model = ssa_torch.build(TINY_EGT, weights).double()
    model.load_state_dict(weights)
    predicted = model(**golden_molecules(golden))
    close(predicted, golden["prediction"], 1e-12, "a prediction")
    loss = (predicted - golden["target"]).abs().mean()
    close(loss, golden["loss"], 1e-12, "the loss")
    (predicted * torch.tensor([0.7, -1.3, 0.45])).sum().backward()
    for name, parameter in model.named_parameters():
        # A shift of all of a head's logits changes nothing: this gradient is rounding alone.
        if name.endswith(("pair_bias.bias", "key.bias")):
            continue
        close(parameter.grad, golden[f"grad.{name}"], 1e-6, f"the gradient of {name}")


def check_hidden_pairs():
    """Sources that a mask hides are as good as not there."""
    torch.manual_seed(2)
    golden = safetensors.torch.load_file(make_golden.OUTPUT / "egt.safetensors")
    weights = {n.removeprefix("weight."): t for n, t in golden.items() if n.startswith("weight.")}
    model = ssa_torch.build(TINY_EGT, weights).double()
    batch = golden_molecules(golden)
    smaller = {name: values.clone() for name, values in batch.items()}
    smaller["sizes"] -= 1
    seen = torch.ones(3, 4 + batch["atoms"].shape[1], 4 + batch["atoms"].shape[1], dtype=torch.bool)
    for g, n in enumerate(batch["sizes"].tolist()):
        seen[g, :, 4 + n - 1] = False  # the last atom is nobody's source, like one that is not there
    close(model(**batch, plans=[seen] * 3), model(**smaller), 1e-12, "a prediction")


def check_graphs():
    """The fields of a ring of six with a tail of one, and an atom apart from it."""
    bonds = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (2, 6)]
    edges = torch.tensor(bonds + [(j, i) for i, j in bonds])
    graph = {"node_feat": torch.full((8, 9), 2), "edge_index": edges.T,
             "edge_feat": torch.tensor([[1, 0, 1]] * len(edges))}
    alone = {"node_feat": [[5] + 8 * [0]], "edge_index": torch.zeros(2, 0), "edge_feat": []}
    batch = ssa_graphs.batch([graph, alone], TINY_EGT)
    far = TINY_EGT["model"]["egt"]["hops"] + 1
    assert batch["sizes"].tolist() == [8, 1] and batch["atoms"].shape == (2, 8, 9)
    assert batch["distances"][0, 6].tolist() == [3, 2, 1, 2, 3, 4, 0, far], batch["distances"][0, 6]
    assert batch["bonds"][0, 6, 2].tolist() == [2, 9, 18] and batch["bonds"][0, 6, 1].sum() == 0
    assert batch["atoms"][0, 0].tolist() == [3 + 128 * feature for feature in range(9)]
    assert batch["atoms"][1, 0, 0] == 6 and batch["atoms"][1, 1:].sum() == 0
    u, v = batch["encodings"][0].unflatten(-1, (8, 2)).unbind(-1)
    close(u @ v.T, torch.eye(8) + (batch["distances"][0] == 1), 1e-5, "the product of the encodings")
    ssa_torch.Egt(TINY_EGT)(**batch)


# ---- exports ------------------------------------------------------------------------------------


def export(folder, **metadata):
    """The golden decoder as a file of ssa-convert."""
    run = safetensors.torch.load_file(make_golden.OUTPUT / "dense.safetensors")
    weights = {n.removeprefix("weights."): t for n, t in run.items() if n.startswith("weights.")}
    config = make_golden.make_config("plain")
    about = {"format": "ssa", "config": json.dumps(config), "weights": "trained", "step": "3"}
    path = pathlib.Path(folder) / "model.safetensors"
    safetensors.torch.save_file(weights, path, about | metadata)
    return path, run


def check_load():
    with tempfile.TemporaryDirectory() as folder:
        path, run = export(folder)
        model = ssa_torch.load(path)
    assert not model.training and model.config["task"] == "byte_lm", model.config
    close(model(run["inputs"].long()).double(), run["logits"], 1e-5, "a logit")


def command_line(*arguments):
    """Exit code, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = ssa_torch.main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


def check_command():
    with tempfile.TemporaryDirectory() as folder:
        path, _ = export(folder)
        code, out, _ = command_line(path)
        assert code == 0, out
        assert "DecoderLm of byte_lm, step 3, trained weights" in out, out
        assert "blocks.1.ffn.down.weight" in out and "(24, 56)" in out, out
        assert out.count("\nok ") == 3, out


def check_refusals():
    with tempfile.TemporaryDirectory() as folder:
        path, _ = export(folder, format="pt")
        code, _, err = command_line(path)
        assert code == 4 and "does not say which model" in err and "ssa-convert export" in err, err
        path.write_bytes(b"text")
        code, _, err = command_line(path)
        assert code == 4 and "model.safetensors cannot be read as a safetensors file" in err, err
        for wrong in (path.with_name("nothing"), folder):
            code, _, err = command_line(wrong)
            assert code == 4 and f"{wrong} cannot be read" in err, err
        path, _ = export(folder, config='{"task": "sing"}')
        code, _, err = command_line(path)
        assert code == 4 and "no model for task sing" in err, err


if __name__ == "__main__":
    sys.exit(checks.run({
        "attention over a plan is masked attention": check_attention,
        "slopes of ALiBi": check_slopes,
        "plans that are given": check_plans,
        "dropout": check_dropout,
        "bfloat16": check_autocast,
        "golden runs of decoders": check_decoders,
        "golden runs of pictures": check_images,
        "Swin-T with windows of 7 is timm's": lambda: check_swin("w7", 7),
        "Swin-T with windows of 14 is timm's": lambda: check_swin("w14", 14),
        "Swin-T with ten sampled blocks": lambda: check_swin("w14_s10", 14, range(10)),
        "Swin-T with six sampled blocks": lambda: check_swin("w14_s6", 14, range(4, 10)),
        "EGT-Simple is egt_pytorch's": check_egt,
        "hidden sources are not there": check_hidden_pairs,
        "molecules of OGB": check_graphs,
        "an export loads": check_load,
        "the command line": check_command,
        "files that are refused": check_refusals,
    }))
