#!/usr/bin/env python3
"""Holds ssa-convert against other programs: the same weights give the same predictions there and here.

    pip install torch timm safetensors pillow
    python scripts/check_conversion.py [--bin build/release/bin] [--fairseq FOLDER]

timm     swin_tiny with random weights and 10 classes, on pictures made up here: timm's
         log-probabilities against those of ssa-eval, then the export loaded into timm again.
fairseq  with --fairseq, a checkout of its ALiBi fork (ofirpress/attention_with_linear_biases; pip install
         omegaconf hydra-core regex sacrebleu bitarray): a small transformer_lm with random weights,
         adaptive and plain, on a text made up here: its losses against those of ssa-eval, then the export
         loaded into it again.

Prints the largest differences, and ends with code 1 if one is larger than rounding explains.
"""

import argparse
import builtins
import dataclasses
import json
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
TOKENS = 40  # of the text that is scored, as one sequence


def import_fairseq(folder):
    """The fork is of 2021: what Python 3.11 and NumPy 2 no longer have is put back before it is imported."""
    strict = dataclasses.dataclass

    def dataclass(cls=None, **options):
        if cls is None:
            return lambda of: dataclass(of, **options)
        if cls.__module__.startswith("fairseq") and "__hash__" not in vars(cls):
            options.setdefault("unsafe_hash", True)  # else no instance may be a field's default
        return strict(cls, **options)

    dataclasses.dataclass = dataclass
    for name in ("float", "int", "bool", "object"):
        setattr(np, name, getattr(builtins, name))
    sys.path.insert(0, str(folder))
    import fairseq.data
    import fairseq.models.transformer_lm
    dataclasses.dataclass = strict
    return fairseq


def language_model(fairseq, dictionary, adaptive):
    options = argparse.Namespace(
        decoder_layers=LAYERS, decoder_embed_dim=WIDTH, decoder_ffn_embed_dim=FFN,
        decoder_attention_heads=HEADS, decoder_normalize_before=True, activation_fn="gelu",
        no_token_positional_embeddings=True, tokens_per_sample=TOKENS, max_tokens=TOKENS,
        max_target_positions=TOKENS)
    if adaptive:
        options.adaptive_input = True
        options.adaptive_input_cutoff = options.adaptive_softmax_cutoff = ",".join(map(str, CUTOFFS))
        options.adaptive_input_factor = options.adaptive_softmax_factor = FACTOR
        options.tie_adaptive_weights = options.tie_adaptive_proj = True
    else:
        options.share_decoder_input_output_embed = True
    task = argparse.Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    fairseq.models.transformer_lm.base_lm_architecture(options)
    model = fairseq.models.transformer_lm.TransformerLanguageModel.build_model(options, task).eval()
    perturb(model, lambda name: 0.3 if "embed" in name else 0.1)
    return model


def make_text(check):
    """A prepared text of the words of a dict.txt. Returns the words of the split test."""
    random = np.random.default_rng(2)
    words = [f"w{i}" for i in range(22)]
    (check.folder / "dict.txt").write_text("".join(f"{word} {99 - i}\n" for i, word in enumerate(words)))
    for split, lines in (("train", 60), ("valid", TOKENS // 8), ("test", TOKENS // 8)):
        rows = [" ".join(random.choice(words, 7)) for _ in range(lines)]
        (check.folder / f"{split}.txt").write_text("\n".join(rows + [""]))
    inputs = [word for split in ("train", "valid", "test") for word in ("--input", f"{split}.txt")]
    check.run("ssa-data", "prepare", "words", *inputs, "--vocabulary", "dict.txt", "--output", "words")
    return (check.folder / "test.txt").read_text().replace("\n", " </s> ").split()


def losses_of_fairseq(model, ids, end):
    with torch.no_grad():
        features = model.double()(torch.tensor([[end, *ids[:-1]]]))
        scores = model.get_normalized_probs(features, log_probs=True, sample={"target": None})[0]
    model.float()
    return -scores[torch.arange(len(ids)), torch.tensor(ids)]


def check_fairseq(check, fairseq):
    text = make_text(check)
    dictionary = fairseq.data.Dictionary.load(str(check.folder / "dict.txt"))
    ids = [dictionary.index(word) for word in text]
    for adaptive in (True, False):
        kind = "adaptive" if adaptive else "plain"
        torch.manual_seed(0)
        model = language_model(fairseq, dictionary, adaptive)
        theirs = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        save_file(theirs, check.folder / f"{kind}.safetensors")
        embedding = f"kind: {kind}" + (f", cutoffs: {list(CUTOFFS)}, factor: {FACTOR}" * adaptive)
        (check.folder / "lm.yaml").write_text(
            "task: word_lm\n"
            f"model: {{layers: {LAYERS}, width: {WIDTH}, ffn_width: {FFN}, heads: {HEADS},"
            f" embedding: {{{embedding}}}}}\n"
            f"data: {{path: words, length: {TOKENS}}}\n")
        check.run("ssa-convert", "import", "--layout", "fairseq_lm", "--weights",
                  f"{kind}.safetensors", "--config", "lm.yaml", "--run-dir", kind)
        lines = check.predictions("--run", kind, "--split", "test")
        losses = torch.tensor([x for line in lines for x in line["losses"]], dtype=torch.float64)
        expected = losses_of_fairseq(model, ids, dictionary.eos())
        print(f"fairseq, {kind}: losses of {len(ids)} words, mean {float(expected.mean()):.3f}")
        check.say("  ssa-eval against fairseq in f64", float((losses - expected).abs().max()))
        check.run("ssa-convert", "export", "--run", kind, "--layout", "fairseq_lm", "--output",
                  f"{kind}-again.safetensors")
        again = load_file(check.folder / f"{kind}-again.safetensors")
        for tensors in (theirs, again):  # a number that nobody sets, for its type
            for name in [name for name in tensors if name.endswith("._float_tensor")]:
                del tensors[name]
        check.same_tensors("  the export", theirs, again)
        other = language_model(fairseq, dictionary, adaptive)
        other.load_state_dict(again, strict=False)
        difference = (losses_of_fairseq(other, ids, dictionary.eos()) - expected).abs().max()
        check.say("  fairseq with the export against fairseq", float(difference), 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin",
                        help="folder of the programs")
    parser.add_argument("--fairseq", type=pathlib.Path, metavar="FOLDER",
                        help="check fairseq too, with the source of its ALiBi fork in this folder")
    options = parser.parse_args()
    checks = [check_timm]
    if options.fairseq:
        fairseq = import_fairseq(options.fairseq.resolve())
        checks.append(lambda check: check_fairseq(check, fairseq))
    failed = False
    for run in checks:
        with tempfile.TemporaryDirectory() as folder:
            check = Check(options.bin, pathlib.Path(folder))
            run(check)
            failed |= check.failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
