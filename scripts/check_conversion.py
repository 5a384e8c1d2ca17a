#!/usr/bin/env python3
"""Holds ssa-convert against other programs: the same weights give the same predictions there and here.

    pip install torch timm safetensors pillow
    python scripts/check_conversion.py [--bin build/release/bin] [timm|fairseq …]

timm     swin_tiny with random weights and 10 classes, on pictures made up here: timm's
         log-probabilities against those of ssa-eval, then the export loaded into timm again.
fairseq  a small transformer_lm with fairseq's names, adaptive and plain, written here in PyTorch: its
         losses on a made-up text against those of ssa-eval, then the export against the file.

Prints the largest differences, and ends with code 1 if one is larger than rounding explains.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

LARGEST = 2e-5  # of a log-probability or a loss, in f32
ROOT = pathlib.Path(__file__).resolve().parent.parent


class Check:
    """Runs programs in a folder, and collects what differs too much."""

    def __init__(self, programs, folder):
        self.programs, self.folder, self.failed = programs.resolve(), folder, False

    def run(self, program, *words):
        command = [str(self.programs / program), *map(str, words), "--quiet"]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def say(self, what, difference, limit=LARGEST):
        print(f"{what}: {difference:.2g}")
        self.failed |= not difference <= limit

    def predictions(self, *words):
        self.run("ssa-eval", *words, "--predictions", "predictions.jsonl", "--json", "score.json")
        return [json.loads(line) for line in open(self.folder / "predictions.jsonl")]

    def same_tensors(self, what, a, b):
        missing = sorted(a.keys() - b.keys())
        self.say(f"{what}: tensors that are missing", len(missing), 0)
        differ = [name for name in a.keys() & b.keys()
                  if a[name].is_floating_point() and not torch.equal(a[name], b[name])]
        self.say(f"{what}: tensors that differ in a bit", len(differ), 0)


def perturb(module, scale):
    """Fresh weights have biases of 0 and norms of 1, which hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(scale(name) * noise)


# ---- timm --------------------------------------------------------------------------------------


def make_pictures(folder, count=6, side=224):
    """PNG files in folders of ten classes. Returns those of val as (N, 3, S, S), in ssa's order."""
    from PIL import Image

    random = np.random.default_rng(1)
    shown = []
    for split, number in (("train", 10), ("val", count)):
        for i in range(number):
            coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((side, side), Image.BICUBIC)
            path = folder / split / f"class{i % 10}" / f"{i:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
            if split == "val":
                shown.append(np.asarray(picture))
    pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2) / 255
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    return (pixels - mean) / deviation


def check_timm(check):
    import timm

    torch.manual_seed(0)
    model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10).eval()
    perturb(model, lambda name: 0.5 if "bias_table" in name else 0.1 if "bias" in name else 0.05)
    save_file(model.state_dict(), check.folder / "timm.safetensors")
    pixels = make_pictures(check.folder / "pictures")
    check.run("ssa-data", "prepare", "imagenet", "--input", "pictures", "--output", "pictures.ssa")
    keys = ["data.path=pictures.ssa", "data.classes=10", "data.resize=224", "train.precision=fp32"]
    check.run("ssa-convert", "import", "--layout", "timm_swin", "--weights", "timm.safetensors",
              "--config", ROOT / "configs/imagenet_w7_s0.yaml", "--set", *keys, "--run-dir", "swin")
    lines = check.predictions("--run", "swin", "--split", "valid")
    ours = torch.tensor([line["log_probabilities"] for line in lines], dtype=torch.float64)
    with torch.no_grad():
        f32 = F.log_softmax(model(pixels), -1).double()
        f64 = F.log_softmax(model.double()(pixels.double()), -1)
    print(f"timm {timm.__version__}: log-probabilities of {len(ours)} pictures, "
          f"{float(f64.min()):.2f} to {float(f64.max()):.2f}")
    check.say("  ssa-eval against timm in f64", float((ours - f64).abs().max()))
    check.say("  timm in f32 against timm in f64", float((f32 - f64).abs().max()))
    check.run("ssa-convert", "export", "--run", "swin", "--layout", "timm_swin", "--output",
              "again.safetensors")
    again = load_file(check.folder / "again.safetensors")
    check.same_tensors("  the export", load_file(check.folder / "timm.safetensors"), again)
    other = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10).eval()
    other.load_state_dict(again)  # strict
    with torch.no_grad():
        difference = (F.log_softmax(other(pixels), -1).double() - f32).abs().max()
    check.say("  timm with the export against timm", float(difference), 0)


# ---- fairseq -----------------------------------------------------------------------------------

WIDTH, HEADS, LAYERS, FFN = 32, 4, 2, 64
CUTOFFS, FACTOR = (8, 16), 2


class Language(torch.nn.Module):
    """A transformer_lm of fairseq's ALiBi fork: pre-norm, GELU, with fairseq's names of weights."""

    def __init__(self, words, adaptive):
        super().__init__()
        self.words, self.adaptive = words, adaptive
        linear, weights = torch.nn.Linear, {}
        if adaptive:
            bounds = (0, *CUTOFFS, words)
            for band, (first, end) in enumerate(zip(bounds, bounds[1:])):
                narrow = WIDTH // FACTOR**band
                weights[f"embed_tokens.embeddings.{band}.0.weight"] = (end - first, narrow)
                weights[f"embed_tokens.embeddings.{band}.1.weight"] = (WIDTH, narrow)
            weights["adaptive_softmax.head.class_proj.weight"] = (len(CUTOFFS), WIDTH)
        else:
            weights["embed_tokens.weight"] = (words, WIDTH)
        self.table = torch.nn.ParameterDict(
            {name.replace(".", "/"): torch.randn(shape) / shape[1] ** 0.5
             for name, shape in weights.items()})
        self.layers = torch.nn.ModuleList()
        for _ in range(LAYERS):
            attention = {f"{of}_proj": linear(WIDTH, WIDTH) for of in ("k", "v", "q", "out")}
            self.layers.append(torch.nn.ModuleDict({
                "self_attn": torch.nn.ModuleDict(attention),
                "self_attn_layer_norm": torch.nn.LayerNorm(WIDTH),
                "fc1": linear(WIDTH, FFN), "fc2": linear(FFN, WIDTH),
                "final_layer_norm": torch.nn.LayerNorm(WIDTH)}))
        self.layer_norm = torch.nn.LayerNorm(WIDTH)

    def weight(self, name):
        return self.table[name.replace(".", "/")]

    def state(self):
        """The state dict that fairseq would save, tied weights twice."""
        own = {name.removeprefix("table.").replace("/", "."): tensor.detach().clone()
               for name, tensor in self.state_dict().items()}
        if self.adaptive:
            embedding, softmax = "embed_tokens.embeddings", "adaptive_softmax"
            own[f"{softmax}.head.word_proj.weight"] = own[f"{embedding}.0.0.weight"].clone()
            for band in range(1, len(CUTOFFS) + 1):
                for theirs, ours in ((0, 1), (2, 0)):
                    tied = own[f"{embedding}.{band}.{ours}.weight"].clone()
                    own[f"{softmax}.tail.{band - 1}.{theirs}.weight"] = tied
            own[f"{softmax}.version"] = torch.tensor([1])
        else:
            own["output_projection.weight"] = own["embed_tokens.weight"].clone()
        own["version"] = torch.tensor([3.0])
        return {f"decoder.{name}": tensor for name, tensor in own.items()}

    def embedded(self, ids):
        if not self.adaptive:
            return self.weight("embed_tokens.weight")[ids]
        bounds, rows = (0, *CUTOFFS, self.words), []
        for band in range(len(CUTOFFS) + 1):
            name = f"embed_tokens.embeddings.{band}"
            rows.append(self.weight(f"{name}.0.weight") @ self.weight(f"{name}.1.weight").T)
        return torch.cat(rows)[ids]

    def log_probabilities(self, x):
        if not self.adaptive:
            return F.log_softmax(x @ self.weight("embed_tokens.weight").T, -1)
        name = "embed_tokens.embeddings"
        head = torch.cat([self.weight(f"{name}.0.0.weight"),
                          self.weight("adaptive_softmax.head.class_proj.weight")])
        head = F.log_softmax(x @ head.T, -1)
        parts = [head[:, : CUTOFFS[0]]]
        for band in range(1, len(CUTOFFS) + 1):
            narrow = x @ self.weight(f"{name}.{band}.1.weight")
            within = F.log_softmax(narrow @ self.weight(f"{name}.{band}.0.weight").T, -1)
            parts.append(head[:, CUTOFFS[0] + band - 1, None] + within)
        return torch.cat(parts, -1)

    def forward(self, ids):
        places = torch.arange(len(ids))
        slopes = 2.0 ** (-8 * torch.arange(1, HEADS + 1, dtype=torch.float64) / HEADS)
        bias = -slopes[:, None, None] * (places[:, None] - places)
        bias = bias.masked_fill(places > places[:, None], -math.inf)
        x = self.embedded(ids) * WIDTH**0.5
        for layer in self.layers:
            normed, maps = layer["self_attn_layer_norm"](x), layer["self_attn"]
            query, key, value = (maps[f"{of}_proj"](normed).view(len(ids), HEADS, -1).transpose(0, 1)
                                 for of in "qkv")
            scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5 + bias.to(x.dtype)
            x = x + maps["out_proj"]((scores.softmax(-1) @ value).transpose(0, 1).flatten(1))
            x = x + layer["fc2"](F.gelu(layer["fc1"](layer["final_layer_norm"](x))))
        return self.log_probabilities(self.layer_norm(x))


def make_text(check, tokens=40):
    """A prepared text of words. Returns the numbers of the test split's words, and how many words
    there are."""
    random = np.random.default_rng(2)
    words = [f"w{i}" for i in range(22)]
    for split, lines in (("train", 60), ("valid", 5), ("test", 5)):
        rows = [" ".join(random.choice(words, 7)) for _ in range(lines)]
        (check.folder / f"{split}.txt").write_text("\n".join(rows + [""]))
    inputs = [word for split in ("train", "valid", "test") for word in ("--input", f"{split}.txt")]
    check.run("ssa-data", "prepare", "words", *inputs, "--output", "words")
    listed = [line.split()[0] for line in open(check.folder / "words" / "vocab.txt")]
    text = (check.folder / "test.txt").read_text().replace("\n", " </s> ").split()
    return [listed.index(word) for word in text], len(listed)


def check_fairseq(check):
    ids, words = make_text(check)
    end = [line.split()[0] for line in open(check.folder / "words/vocab.txt")].index("</s>")
    for adaptive in (True, False):
        kind = "adaptive" if adaptive else "plain"
        torch.manual_seed(0)
        model = Language(words, adaptive)
        perturb(model, lambda name: 0.1)
        theirs = model.state()
        save_file(theirs, check.folder / f"{kind}.safetensors")
        embedding = f"kind: {kind}" + (f", cutoffs: {list(CUTOFFS)}, factor: {FACTOR}" * adaptive)
        (check.folder / "lm.yaml").write_text(
            "task: word_lm\n"
            f"model: {{layers: {LAYERS}, width: {WIDTH}, ffn_width: {FFN}, heads: {HEADS},"
            f" embedding: {{{embedding}}}}}\n"
            f"data: {{path: words, length: {len(ids)}}}\n")
        # The rows are those of these words, not of fairseq's: no data when they are imported.
        check.run("ssa-convert", "import", "--layout", "fairseq_lm", "--weights",
                  f"{kind}.safetensors", "--config", "lm.yaml", "--set", "data.path=none",
                  f"data.vocabulary={words}", "--run-dir", kind)
        lines = check.predictions("--run", kind, "--split", "test", "--set", "data.path=words")
        losses = torch.tensor([x for line in lines for x in line["losses"]], dtype=torch.float64)
        with torch.no_grad():
            scores = model.double()(torch.tensor([end, *ids[:-1]]))
        expected = -scores[torch.arange(len(ids)), torch.tensor(ids)]
        print(f"fairseq's names, {kind}: losses of {len(ids)} words, mean {float(expected.mean()):.3f}")
        check.say("  ssa-eval against PyTorch in f64", float((losses - expected).abs().max()))
        check.run("ssa-convert", "export", "--run", kind, "--layout", "fairseq_lm", "--output",
                  f"{kind}-again.safetensors")
        check.same_tensors("  the export", theirs, load_file(check.folder / f"{kind}-again.safetensors"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin",
                        help="folder of the programs")
    parser.add_argument("what", nargs="*", help="timm, fairseq; default: both")
    options = parser.parse_args()
    checks = {"timm": check_timm, "fairseq": check_fairseq}
    failed = False
    for what in options.what or checks:
        if what not in checks:
            parser.error(f"there are {', '.join(checks)}, not {what}")
        with tempfile.TemporaryDirectory() as folder:
            check = Check(options.bin, pathlib.Path(folder))
            checks[what](check)
            failed |= check.failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
