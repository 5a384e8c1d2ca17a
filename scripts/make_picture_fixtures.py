#!/usr/bin/env python3
"""Writes what Pillow, torchvision and timm make of pictures, for the C++ tests to match.

    pip install "pillow==12.0.0" numpy torch torchvision timm
    python scripts/make_picture_fixtures.py

Pillow 13 resizes columns before rows for some sizes and refuses to keep 0 bits, so this script
insists on 12. Writes into tests/fixtures/pictures:

    pillow.json  CRC-32 of the results of each operation on pictures of the formula below, arguments
                 of RandAugment's operations, mixed batches and targets, moments of what is drawn
    *.jpg, ...   small files of kinds that are easily read wrong; pillow.json says what is in them

A picture of the formula has img[r][c][k] = (7r + 13c + 29k + (r·c mod 31) + (r²·k mod 17)) mod 256.
A "dim" one is img / 3 + 40, rounded down: its values do not fill 0…255.
"""

import json
import pathlib
import random
import zlib

import numpy as np
import PIL
import timm
import torch
import torchvision
from PIL import Image, ImageFilter
from timm.data import auto_augment
from timm.data.mixup import Mixup, mixup_target
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import RandomResizedCropAndInterpolation
from torchvision import transforms

OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "pictures"
FILL = (124, 116, 104)
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
WITHOUT_ARGUMENT = {
    "autocontrast": auto_augment.auto_contrast,
    "equalize": auto_augment.equalize,
    "invert": auto_augment.invert,
    "smooth": lambda picture: picture.filter(ImageFilter.SMOOTH),
    "flip": lambda picture: picture.transpose(Image.FLIP_LEFT_RIGHT),
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def formula(height, width, dim=False):
    r, c, k = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    pixels = (7 * r + 13 * c + 29 * k + r * c % 31 + r * r * k % 17) % 256
    return Image.fromarray((pixels // 3 + 40 if dim else pixels).astype(np.uint8))


def crc(values):
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


def operations():
    """Cases (operation, argument, size, dim): those of the published check, and edges."""
    size = (40, 32)
    affine = {"rotate": (-27.5, 13.25, 0), "shear_x": (-0.285, 0.1), "shear_y": (-0.285, 0.1),
              "translate_x_rel": (-0.405, 0.2), "translate_y_rel": (-0.405, 0.2)}
    enhance = ("color", "contrast", "brightness", "sharpness")
    tables = {"solarize": (0, 26, 128, 256), "solarize_add": (0, 99, 110), "posterize": (0, 1, 2, 3, 4)}
    small = ((1, 1), (1, 7), (7, 1), (2, 2), (3, 3), (5, 31))
    for op, arguments in affine.items():
        yield from ((op, argument, size, False) for argument in arguments)
        yield from ((op, arguments[0], tiny, False) for tiny in small)
    for op in enhance:
        yield from ((op, factor, size, False) for factor in (0, 0.1, 0.19, 0.55, 1, 1.81, 1.9))
        yield from ((op, 1.81, tiny, False) for tiny in small)
    for op, arguments in tables.items():
        yield from ((op, argument, size, False) for argument in arguments)
    for op in WITHOUT_ARGUMENT:
        yield from ((op, 0, size, dim) for dim in (False, True))
        yield from ((op, 0, tiny, False) for tiny in small)


def apply(picture, op, argument, interpolation):
    options = {"fillcolor": FILL, "resample": FILTERS[interpolation]}
    if op in WITHOUT_ARGUMENT:
        return WITHOUT_ARGUMENT[op](picture)
    return getattr(auto_augment, op)(picture, argument, **options)


def operation_cases():
    cases = []
    for op, argument, size, dim in operations():
        moves = op.split("_")[0] in ("rotate", "shear", "translate")
        for interpolation in FILTERS if moves else ("bicubic",):
            result = apply(formula(*size, dim), op, argument, interpolation)
            cases.append({"op": op, "argument": argument, "interpolation": interpolation,
                          "size": size, "dim": dim, "crc32": crc(result)})
    return cases


def resize_cases():
    whole = [((150, 200), size) for size in ((256, 341), (224, 224), (24, 32), (180, 64))]
    whole += [((150, 200), size) for size in ((150, 64), (31, 200), (150, 200), (1, 1))]
    whole += [((1, 1), (5, 3)), ((1, 9), (4, 4)), ((9, 1), (4, 4)), ((2, 3), (3, 2)), ((61, 7), (7, 61))]
    cases = []
    for size, to in whole:
        boxes = [(0, 0, *size)] + ([(9, 17, 77, 61)] if to == (224, 224) else [])
        for top, left, height, width in boxes:
            cut = formula(*size).crop((left, top, left + width, top + height))
            for name, kind in FILTERS.items():
                cases.append({"size": size, "box": (top, left, height, width), "to": to,
                              "interpolation": name, "crc32": crc(cut.resize(to[::-1], kind))})
    return cases


def evaluation_cases():
    """Pictures and planes of f32 after Resize, CenterCrop, ToTensor and Normalize."""
    cases = []
    for size, resize, crop in (((150, 200), 256, 224), ((201, 99), 64, 56), ((67, 67), 67, 60),
                               ((67, 101), 67, 30), ((40, 71), 33, 33)):
        pixels = transforms.Compose([
            transforms.Resize(resize, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(crop)])(formula(*size))
        planes = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])(pixels)
        cases.append({"size": size, "resize": resize, "crop": crop, "pixels_crc32": crc(pixels),
                      "planes_crc32": crc(planes.numpy())})
    return cases


def argument_cases():
    cases = []
    for name in auto_augment.rand_augment_choices("", increasing=True):
        level_to_argument = auto_augment.LEVEL_TO_ARG[name]
        for magnitude in (0, 2.5, 7.4, 7.5, 8.999, 9, 9.61, 10):
            for negative in (False, True):
                random.random = lambda high=negative: 1.0 if high else 0.0
                arguments = level_to_argument(magnitude, {}) if level_to_argument else (0,)
                cases.append({"op": name, "magnitude": magnitude, "negative": negative,
                              "argument": arguments[0]})
    return cases


class FixedMixup(Mixup):
    """timm's Mixup with a given lambda."""

    def _params_per_batch(self):
        return self.fixed, False


def mixing_cases():
    """A batch of formula pictures of (5, 6) to (5, 9) / 255, cut to 5 × 6."""
    pictures = [np.asarray(formula(5, 6 + i))[:, i:] for i in range(4)]
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div(255).contiguous()
    labels, cases = torch.tensor([2, 0, 1, 2]), []
    for part in (0.3, 0.9999, 0.71234567):
        mixup = FixedMixup(num_classes=7)
        mixup.fixed, mixed = part, batch.clone()
        mixup._mix_batch(mixed)
        targets = mixup_target(labels, 7, part, 0.1)
        cases.append({"lambda": part, "batch_crc32": crc(mixed.numpy()),
                      "targets_crc32": crc(targets.numpy())})
    return cases


def file_cases():
    """Files of the kinds that ImageNet has among its plain JPEGs."""
    height, width = 67, 53  # a few blocks of 16 each way, and a rest
    picture = formula(height, width)
    rgba = picture.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize((width, height)))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees, which nobody looks at
    picture.save(OUTPUT / "plain.jpg", quality=80)
    picture.save(OUTPUT / "halved_colours.jpg", quality=80, subsampling="4:2:2")
    picture.save(OUTPUT / "all_colours.jpg", quality=80, subsampling="4:4:4")
    picture.save(OUTPUT / "progressive.jpg", quality=80, progressive=True)
    picture.save(OUTPUT / "turned.jpg", quality=80, exif=exif)
    picture.convert("L").save(OUTPUT / "gray.jpg", quality=80)
    picture.convert("CMYK").save(OUTPUT / "cmyk.jpg", quality=80)
    rgba.save(OUTPUT / "transparent_png.JPEG", format="PNG")
    picture.convert("P", palette=Image.ADAPTIVE, colors=40).save(OUTPUT / "palette.png")
    picture.convert("L").save(OUTPUT / "gray.png")
    picture.convert("1").save(OUTPUT / "black_and_white.png")
    cases = []
    for path in sorted(OUTPUT.iterdir()):
        if path.suffix == ".json":
            continue
        pixels = np.asarray(Image.open(path).convert("RGB"))
        cases.append({"name": path.name, "size": pixels.shape[:2], "crc32": crc(pixels)})
    return cases


def moments(**samples):
    return {name: {"mean": float(np.mean(values)), "std": float(np.std(values))}
            for name, values in samples.items()}


def erased_box(erasing, height, width):
    """Height and width of what is erased of a picture of ones; zeros if nothing is."""
    planes = torch.ones(3, height, width)
    erasing(planes)
    hole = planes[0] == 0
    return int(hole.any(1).sum()), int(hole.any(0).sum())


def cutmix_lambda(height, width, drawn):
    """CutMix of timm 0.4.12, the version of Swin: half of the side goes to either side of the middle."""
    y, x = np.random.randint(height), np.random.randint(width)
    half_height, half_width = (int(side * np.sqrt(1 - drawn)) // 2 for side in (height, width))
    rows = min(y + half_height, height) - max(y - half_height, 0)
    columns = min(x + half_width, width) - max(x - half_width, 0)
    return 1 - rows * columns / (height * width)


def distributions(draws=40000):
    """Mean and standard deviation of what is drawn at random for a picture of the size."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    height, width = 75, 100
    picture = formula(height, width)
    crops = np.array([RandomResizedCropAndInterpolation.get_params(picture, (0.08, 1), (3 / 4, 4 / 3))
                      for _ in range(draws)], dtype=np.float64)
    erasing = RandomErasing(probability=1, mode="const", device="cpu")
    holes = np.array([erased_box(erasing, height, width) for _ in range(draws // 4)], dtype=np.float64)
    cutmix = [cutmix_lambda(height, width, drawn) for drawn in np.random.beta(1, 1, draws)]
    mixup = np.random.beta(0.8, 0.8, draws)
    return {
        "size": (height, width), "draws": draws,
        "crop": moments(top=crops[:, 0], left=crops[:, 1], height=crops[:, 2], width=crops[:, 3],
                        area=crops[:, 2] * crops[:, 3]),
        "erasing_draws": draws // 4,
        "erasing": moments(height=holes[:, 0], width=holes[:, 1], area=holes[:, 0] * holes[:, 1]),
        "cutmix": moments(**{"lambda": cutmix}),
        "mixup": moments(**{"lambda": mixup, "extreme": np.abs(mixup - 0.5) > 0.45}),
    }


def main():
    assert PIL.__version__.startswith("12."), f"Pillow {PIL.__version__} has other pixels"
    OUTPUT.mkdir(parents=True, exist_ok=True)
    values = {
        "made_by": "scripts/make_picture_fixtures.py",
        "pillow": PIL.__version__,
        "timm": timm.__version__,
        "torchvision": torchvision.__version__,
        "files": file_cases(),
        "operations": operation_cases(),
        "resizes": resize_cases(),
        "evaluations": evaluation_cases(),
        "mixing": mixing_cases(),
        "distributions": distributions(),
        "arguments": argument_cases(),
    }
    parts = []
    for key, value in values.items():
        if isinstance(value, list):
            lines = ",\n".join("    " + json.dumps(case) for case in value)
            parts.append(f"  {json.dumps(key)}: [\n{lines}\n  ]")
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    (OUTPUT / "pillow.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
