"""The published detectors ViTDet-H, RegNetY-4GF and X-101 Mask R-CNN in plain PyTorch and torchvision, with weights by formula.

    detectors_reference.py check GOLDENS           compares the small networks with recorded outputs of the original (tests/goldens/detect/a)
    detectors_reference.py time MODEL [--runs 3]   times the stages of the full network on one picture; prints one JSON line per run

It is the other side of a comparison of speed: `check` shows that these are the original's networks, `time` runs them as the original
does, with batch norms that are not folded, channels first, and one picture at a time. With `--wait` every run waits for a line of the
standard input, so that a benchmark can alternate with its own runs. Own code, after the formulas of the goldens.
"""
import argparse
import json
import math
import pathlib
import struct
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.ops import batched_nms, roi_align

BLUE_GREEN_RED = ([103.530, 116.280, 123.675], [57.375, 57.120, 58.395])
SMALL = {
    "vitdet": dict(embed=64, depth=4, heads=4, window=6, whole=(1, 3), side=256, out=32, classes=6, fc=64, before=50, after=40),
    "regnety": dict(stem=16, widths=(16, 32, 64, 128), depths=(1, 1, 3, 2), group=8, short=160, longest=266, out=32, classes=6, fc=64,
                    before=50, after=40),
    "x101": dict(stem=16, first=32, blocks=(3, 4, 6, 3), groups=4, width=2, short=160, longest=266, out=32, classes=6, fc=64, before=50,
                 after=40),
}
FULL = {
    "vitdet": dict(embed=1280, depth=32, heads=16, window=14, whole=(7, 15, 23, 31), side=1024, out=256, classes=80, fc=1024,
                   before=1000, after=1000),
    "regnety": dict(stem=32, widths=(128, 192, 512, 1088), depths=(2, 6, 12, 2), group=64, short=800, longest=1333, out=256, classes=80,
                    fc=1024, before=1000, after=1000),
    "x101": dict(stem=64, first=256, blocks=(3, 4, 23, 3), groups=32, width=8, short=800, longest=1333, out=256, classes=80, fc=1024,
                 before=1000, after=1000),
}
SCORE = {"vitdet": 0.25, "regnety": 0.5, "x101": 0.5}
OVERLAP = {"vitdet": 0.5, "regnety": 0.4, "x101": 0.4}
CLAMP = math.log(1000 / 16)


# ---- values by formula
def hashed(name, count):
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) + np.uint64((seed + 0x9E3779B97F4A7C15) % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) >> np.uint64(11)


class Weights:
    """The tensors of a network, computed when they are asked for the first time."""

    def __init__(self, set_, model):
        self.prefix, self.model, self.known = f"{set_}/{model}/", model, {}

    def __call__(self, key, *shape):
        if key not in self.known:
            offset, scale = self.rule(key, shape)
            count = math.prod(shape)
            values = hashed(self.prefix + key, count).astype(np.float64) * 2.0**-52 - 1.0
            values = np.resize(np.asarray(offset, np.float64), count) + scale * values
            self.known[key] = torch.from_numpy(values.astype(np.float32).reshape(shape))
        return self.known[key]

    def rule(self, key, shape):
        fan = math.sqrt(3 / math.prod(shape[1:]))
        head, is_weight = key.startswith("roi_heads."), key.endswith(".weight")
        by_model = lambda *values: values[("vitdet", "regnety", "x101").index(self.model)]
        if key.endswith("running_mean"):
            return 0, 0.2
        if key.endswith("running_var"):
            return 1, 0.5
        if is_weight and len(shape) == 1:
            return 1, 0.2
        if key.endswith("pos_embed") or "rel_pos_" in key:
            return 0, 0.5
        if key.endswith("qkv.weight"):
            return 0, 1.5 * fan
        if key.endswith("objectness_logits.weight"):
            return 0, 3 * fan
        if key.endswith("anchor_deltas.weight"):
            return 0, 0.4 * fan
        if key.endswith("cls_score.weight"):
            return 0, by_model(5, 7, 3) * fan
        if key.endswith("cls_score.bias"):
            return by_model([3, 0, 0, 0, 0, 0, 1], [5, 0, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0, 0]), 0.5
        if key.endswith("bbox_pred.weight"):
            return 0, by_model(0.8, 2, 1) * fan
        if key.endswith("mask_head.predictor.weight"):
            return 0, 6 * fan
        if self.model == "vitdet" and head and key.endswith("norm.bias"):
            return -0.6, 0.1
        if key.endswith((".f.c.weight", ".conv3.weight")) or (is_weight and "fpn_lateral" in key):
            return 0, 0.5 * fan
        if is_weight and "fpn_output" in key:
            return 0, 0.8 * fan
        if head and ".fc" in key:
            return (0, 2 * fan) if is_weight else (-0.3, 0.1)
        return (0, 1.4 * fan) if is_weight else (0, 0.1)


def picture(set_, name, height, width):
    """A picture by formula: (height, width, 3) bytes, blue, green, red."""
    name = f"{set_}/input/{name}"
    cells = (-(-height // 32), -(-width // 32), 3)
    phase = (hashed(name + ".phase", 3) % np.uint64(512)).astype(np.int64)
    cell = (hashed(name + ".cell", math.prod(cells)) % np.uint64(200)).astype(np.int64).reshape(cells)
    noise = (hashed(name, height * width * 3) % np.uint64(24)).astype(np.int64).reshape(height, width, 3)
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    wave = (x * (3 + c) + y * (2 + 2 * c) + phase[c]) % 512
    wave = np.where(wave < 256, wave, 511 - wave)
    return (cell[y // 32, x // 32, c] + wave // 8 + noise).astype(np.uint8)


# ---- parts of the networks
def layer_norm(w, key, x):
    """Over the channels of (b, c, h, w)."""
    mean = x.mean(1, keepdim=True)
    x = (x - mean) / ((x - mean).pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
    c = x.shape[1]
    return x * w(key + ".weight", c)[:, None, None] + w(key + ".bias", c)[:, None, None]


def batch_norm(w, key, x):
    c = x.shape[1]
    mean, variance = w(key + ".running_mean", c), w(key + ".running_var", c)
    return F.batch_norm(x, mean, variance, w(key + ".weight", c), w(key + ".bias", c), False, 0.0, 1e-5)


NORMS = {"vitdet": layer_norm, "regnety": batch_norm, "x101": None}


def conv(w, key, x, out, side=1, norm=None, norm_key=None, stride=1, groups=1, bias=False):
    """Padded so that a stride of 1 keeps the size."""
    weight = w(key + ".weight", out, x.shape[1] // groups, side, side)
    x = F.conv2d(x, weight, w(key + ".bias", out) if bias else None, stride, side // 2, 1, groups)
    return norm(w, norm_key or key + ".norm", x) if norm else x


def deconv(w, key, x, out):
    return F.conv_transpose2d(x, w(key + ".weight", x.shape[1], out, 2, 2), w(key + ".bias", out), 2)


def linear(w, key, x, out):
    return F.linear(x, w(key + ".weight", out, x.shape[-1]), w(key + ".bias", out))


def attention(w, key, x, heads, side):
    b, h, width, e = x.shape
    d = e // heads
    qkv = linear(w, key + "qkv", x, 3 * e).reshape(b, h * width, 3, heads, d).permute(2, 0, 3, 1, 4)
    q, k, v = qkv.reshape(3, b * heads, h * width, d).unbind(0)
    scores = (q * d**-0.5) @ k.transpose(1, 2)
    at = torch.arange(side)
    index = at[:, None] - at[None, :] + side - 1
    rows, columns = (w(f"{key}rel_pos_{axis}", 2 * side - 1, d)[index] for axis in "hw")
    grid = q.reshape(b * heads, h, width, d)
    of_rows = torch.einsum("bhwc,hkc->bhwk", grid, rows)
    of_columns = torch.einsum("bhwc,wkc->bhwk", grid, columns)
    scores = scores.view(b * heads, h, width, h, width) + of_rows[..., None] + of_columns[..., None, :]
    out = scores.view(b * heads, h * width, h * width).softmax(-1) @ v
    out = out.view(b, heads, h, width, d).permute(0, 2, 3, 1, 4).reshape(b, h, width, e)
    return linear(w, key + "proj", out, e)


def vitdet_backbone(w, c, pixels):
    e, out = c["embed"], c["out"]
    net = "backbone.net."
    x = F.conv2d(pixels, w(net + "patch_embed.proj.weight", e, 3, 16, 16), w(net + "patch_embed.proj.bias", e), 16)
    positions = w(net + "pos_embed", 1, 197, e)[:, 1:].reshape(1, 14, 14, e).permute(0, 3, 1, 2)
    x = x + F.interpolate(positions, size=x.shape[2:], mode="bicubic", align_corners=False)
    x = x.permute(0, 2, 3, 1)
    norm = lambda key, x: F.layer_norm(x, (e,), w(key + ".weight", e), w(key + ".bias", e), 1e-6)
    side, window = x.shape[1], c["window"]
    for block in range(c["depth"]):
        key = f"{net}blocks.{block}."
        y = norm(key + "norm1", x)
        if block in c["whole"]:
            y = attention(w, key + "attn.", y, c["heads"], side)
        else:
            count = -(-side // window)
            pad = count * window - side
            y = F.pad(y, (0, 0, 0, pad, 0, pad)).view(-1, count, window, count, window, e).transpose(2, 3)
            y = attention(w, key + "attn.", y.reshape(-1, window, window, e), c["heads"], window)
            y = y.view(-1, count, count, window, window, e).transpose(2, 3).reshape(-1, count * window, count * window, e)
            y = y[:, :side, :side]
        x = x + y
        x = x + linear(w, key + "mlp.fc2", F.gelu(linear(w, key + "mlp.fc1", norm(key + "norm2", x), 4 * e)), e)
    x = x.permute(0, 3, 1, 2)

    def tail(level, at, x):
        x = conv(w, f"backbone.simfp_{level}.{at}", x, out, 1, layer_norm)
        return conv(w, f"backbone.simfp_{level}.{at + 1}", x, out, 3, layer_norm)

    p2 = F.gelu(layer_norm(w, "backbone.simfp_2.1", deconv(w, "backbone.simfp_2.0", x, e // 2)))
    p2 = tail(2, 4, deconv(w, "backbone.simfp_2.3", p2, e // 4))
    p3 = tail(3, 1, deconv(w, "backbone.simfp_3.0", x, e // 2))
    p4, p5 = tail(4, 0, x), tail(5, 1, F.max_pool2d(x, 2))
    return [p2, p3, p4, p5, F.max_pool2d(p5, 1, 2)]


def pyramid(w, c, maps, norm):
    found, above = [], None
    for level in (5, 4, 3, 2):
        lateral = conv(w, f"backbone.fpn_lateral{level}", maps[level - 2], c["out"], 1, norm, bias=norm is None)
        above = lateral if above is None else lateral + F.interpolate(above, scale_factor=2, mode="nearest")
        found.insert(0, conv(w, f"backbone.fpn_output{level}", above, c["out"], 3, norm, bias=norm is None))
    return found + [F.max_pool2d(found[-1], 1, 2)]


def regnety_backbone(w, c, pixels):
    up = "backbone.bottom_up."
    x = F.relu(conv(w, up + "stem.conv", pixels, c["stem"], 3, batch_norm, up + "stem.bn", 2))
    maps = []
    for stage, (width, depth) in enumerate(zip(c["widths"], c["depths"]), 1):
        for block in range(1, depth + 1):
            key, stride, squeezed = f"{up}s{stage}.b{block}.", 2 if block == 1 else 1, round(x.shape[1] / 4)
            y = F.relu(conv(w, key + "f.a", x, width, 1, batch_norm, key + "f.a_bn"))
            y = F.relu(conv(w, key + "f.b", y, width, 3, batch_norm, key + "f.b_bn", stride, width // c["group"]))
            gate = F.relu(conv(w, key + "f.se.f_ex.0", y.mean((2, 3), keepdim=True), squeezed, bias=True))
            y = y * conv(w, key + "f.se.f_ex.2", gate, width, bias=True).sigmoid()
            y = conv(w, key + "f.c", y, width, 1, batch_norm, key + "f.c_bn")
            x = F.relu(y + (conv(w, key + "proj", x, width, 1, batch_norm, key + "bn", 2) if block == 1 else x))
        maps.append(x)
    return pyramid(w, c, maps, batch_norm)


def x101_backbone(w, c, pixels):
    up = "backbone.bottom_up."
    x = F.max_pool2d(F.relu(conv(w, up + "stem.conv1", pixels, c["stem"], 7, batch_norm, stride=2)), 3, 2, 1)
    maps = []
    for stage, depth in enumerate(c["blocks"]):
        out, middle = c["first"] << stage, c["groups"] * c["width"] << stage
        for block in range(depth):
            key, stride = f"{up}res{stage + 2}.{block}.", 2 if block == 0 and stage > 0 else 1
            y = F.relu(conv(w, key + "conv1", x, middle, 1, batch_norm))
            y = F.relu(conv(w, key + "conv2", y, middle, 3, batch_norm, stride=stride, groups=c["groups"]))
            y = conv(w, key + "conv3", y, out, 1, batch_norm)
            x = F.relu(y + (conv(w, key + "shortcut", x, out, 1, batch_norm, stride=stride) if block == 0 else x))
        maps.append(x)
    return pyramid(w, c, maps, None)


BACKBONES = {"vitdet": vitdet_backbone, "regnety": regnety_backbone, "x101": x101_backbone}


def decode(deltas, boxes, weights):
    size, center = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    center = deltas[:, :2] / torch.tensor(weights[:2]) * size + center
    size = (deltas[:, 2:] / torch.tensor(weights[2:])).clamp(max=CLAMP).exp() * size
    return torch.cat([center - size / 2, center + size / 2], 1)


def clip(boxes, size):
    height, width = size
    return torch.stack([boxes[:, 0].clamp(0, width), boxes[:, 1].clamp(0, height), boxes[:, 2].clamp(0, width), boxes[:, 3].clamp(0, height)], 1)


def is_not_empty(boxes):
    return ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero()[:, 0]


def propose(model, w, c, levels, size):
    head = "proposal_generator.rpn_head."
    names = ["conv"] if model == "x101" else ["conv.conv0", "conv.conv1"]
    boxes, logits, of_level = [], [], []
    for index, level in enumerate(levels):
        x = level
        for name in names:
            x = F.relu(conv(w, head + name, x, c["out"], 3, bias=True))
        logit = conv(w, head + "objectness_logits", x, 3, bias=True)[0].permute(1, 2, 0).flatten()
        delta = conv(w, head + "anchor_deltas", x, 12, bias=True)[0].permute(1, 2, 0).reshape(-1, 4)
        logit, best = logit.topk(min(c["before"], len(logit)))
        stride, area = 4 << index, float(32 << index) ** 2
        shapes = torch.tensor([[math.sqrt(area / ratio), ratio * math.sqrt(area / ratio)] for ratio in (0.5, 1.0, 2.0)])
        height, width = level.shape[2:]
        y, x = torch.meshgrid(torch.arange(height) * stride, torch.arange(width) * stride, indexing="ij")
        center = torch.stack([x, y], -1).reshape(-1, 1, 2).float()
        anchors = torch.cat([center - shapes / 2, center + shapes / 2], -1).reshape(-1, 4)
        found = clip(decode(delta[best], anchors[best], (1.0, 1.0, 1.0, 1.0)), size)
        keep = is_not_empty(found)
        boxes.append(found[keep])
        logits.append(logit[keep])
        of_level.append(torch.full((len(keep),), index))
    boxes, logits, of_level = torch.cat(boxes), torch.cat(logits), torch.cat(of_level)
    keep = batched_nms(boxes, logits, of_level, 0.7)[: c["after"]]
    return boxes[keep], logits[keep]


def pool(levels, boxes, side):
    root = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    of_level = (4 + torch.log2(root / 224 + 1e-8)).floor().clamp(2, 5).long() - 2
    pooled = boxes.new_zeros(len(boxes), levels[0].shape[1], side, side)
    for index in range(4):
        mine = (of_level == index).nonzero()[:, 0]
        rows = torch.cat([boxes.new_zeros(len(mine), 1), boxes[mine]], 1)
        pooled[mine] = roi_align(levels[index], rows, side, 0.25 / (1 << index), 0, True)
    return pooled


def box_head(model, w, c, levels, boxes, stage, outputs):
    key, norm = "roi_heads.box_head." + stage, NORMS[model]
    x = pool(levels, boxes, 7)
    if norm:
        for index in range(1, 5):
            x = F.relu(conv(w, f"{key}conv{index}", x, c["out"], 3, norm))
    x = x.flatten(1)
    for index in range(1, 2 if norm else 3):
        x = F.relu(linear(w, f"{key}fc{index}", x, c["fc"]))
    key = "roi_heads.box_predictor." + stage
    return linear(w, key + "cls_score", x, c["classes"] + 1).softmax(1), linear(w, key + "bbox_pred", x, outputs)


def detect_boxes(model, w, c, levels, proposals, size):
    classes = c["classes"]
    if model == "vitdet":
        boxes, scores = proposals, []
        for stage, weights in enumerate([(10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0)]):
            boxes = clip(boxes, size)
            score, delta = box_head(model, w, c, levels, boxes, f"{stage}.", 4)
            boxes = decode(delta, boxes, weights)
            scores.append(score)
        scores, boxes = sum(scores) / 3, boxes[:, None].expand(-1, classes, 4)
    else:
        scores, deltas = box_head(model, w, c, levels, proposals, "", 4 * classes)
        each = proposals[:, None].expand(-1, classes, 4).reshape(-1, 4)
        boxes = decode(deltas.reshape(-1, 4), each, (10.0, 10.0, 5.0, 5.0)).view(-1, classes, 4)
    rows, of_class = (scores[:, :-1] > SCORE[model]).nonzero(as_tuple=True)
    found, score = clip(boxes[rows, of_class], size), scores[rows, of_class]
    keep = batched_nms(found, score, of_class, OVERLAP[model])[:100]
    return found[keep], score[keep], of_class[keep], scores


def masks(model, w, c, levels, boxes, of_class):
    """Probabilities (n, 28, 28)."""
    key, norm = "roi_heads.mask_head.", NORMS[model]
    x = pool(levels, boxes, 14)
    for index in range(1, 5):
        x = F.relu(conv(w, f"{key}mask_fcn{index}", x, c["out"], 3, norm, bias=norm is None))
    x = conv(w, key + "predictor", F.relu(deconv(w, key + "deconv", x, c["out"])), c["classes"], bias=True)
    return x[torch.arange(len(x)), of_class].sigmoid()


def paste(probabilities, boxes, height, width):
    pasted = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    for index, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
        left, top = max(math.floor(x1) - 1, 0), max(math.floor(y1) - 1, 0)
        right, bottom = min(math.ceil(x2) + 1, width), min(math.ceil(y2) + 1, height)
        box = boxes[index]
        x = (torch.arange(left, right) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
        y = (torch.arange(top, bottom) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
        grid = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))], -1)
        soft = F.grid_sample(probabilities[index][None, None], grid[None], align_corners=False)
        pasted[index, top:bottom, left:right] = soft[0, 0] >= 0.5
    return pasted


def prepare(model, c, bgr):
    """The network's input, and its size without padding."""
    height, width = bgr.shape[:2]
    short, longest = (c["side"], c["side"]) if model == "vitdet" else (c["short"], c["longest"])
    scale = short / min(height, width)
    new = [scale * height, scale * width]
    if max(new) > longest:
        new = [side * (longest / max(new)) for side in new]
    height, width = (int(side + 0.5) for side in new)
    image = Image.fromarray(bgr if model != "vitdet" else np.ascontiguousarray(bgr[:, :, ::-1]))
    # columns first, also for tall pictures, where Pillow 13 begins with the rows
    image = image.resize((width, image.height), Image.BILINEAR).resize((width, height), Image.BILINEAR)
    mean, deviation = (values if model != "vitdet" else values[::-1] for values in BLUE_GREEN_RED)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    pixels = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    padded = [c["side"]] * 2 if model == "vitdet" else [-(-side // 32) * 32 for side in (height, width)]
    return F.pad(pixels, (0, padded[1] - width, 0, padded[0] - height))[None], (height, width)


def run(model, w, c, bgr):
    """Detects in a picture; returns what was found at each stage, and the seconds of the stages."""
    height, width = bgr.shape[:2]
    secs, began = {}, time.perf_counter()

    def lap(stage):
        nonlocal began
        now = time.perf_counter()
        secs[stage], began = now - began, now

    pixels, size = prepare(model, c, bgr)
    lap("prepare")
    levels = BACKBONES[model](w, c, pixels)
    lap("backbone")
    proposals, logits = propose(model, w, c, levels, size)
    lap("proposals")
    boxes, scores, of_class, all_scores = detect_boxes(model, w, c, levels, proposals, size)
    lap("boxes")
    probabilities = masks(model, w, c, levels, boxes, of_class)
    lap("masks")
    found = clip(boxes * torch.tensor([width / size[1], height / size[0]]).repeat(2), (height, width))
    keep = is_not_empty(found)
    bits = paste(probabilities[keep], found[keep], height, width)
    lap("paste")
    return dict(levels=levels, proposals=proposals, logits=logits, boxes=found[keep], scores=scores[keep], classes=of_class[keep],
                all_scores=all_scores, bits=bits, size=size), secs


# ---- comparison with the goldens
def load(path):
    data = pathlib.Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    types = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}
    found = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            found[name] = np.frombuffer(data[start:end], types[entry["dtype"]]).reshape(entry["shape"])
    return found


def check(folder, set_):
    worst = 0.0

    def compare(what, ours, golden, tolerance):
        nonlocal worst
        ours = ours.numpy() if isinstance(ours, torch.Tensor) else ours
        if ours.shape != golden.shape:
            raise SystemExit(f"{what}: shape {ours.shape}, but the golden has {golden.shape}")
        error = float(np.abs(ours.astype(np.float64) - golden).max()) if golden.size else 0.0
        worst = max(worst, error / tolerance)
        print(f"{what:32} largest difference {error:9.2e}, tolerance {tolerance:.0e}{'' if error <= tolerance else '  TOO LARGE'}")

    def compare_bits(what, ours, golden, share):
        nonlocal worst
        packed = np.packbits(ours.numpy(), axis=-1)
        if packed.shape != golden.shape:
            raise SystemExit(f"{what}: shape {packed.shape}, but the golden has {golden.shape}")
        other = int(np.unpackbits(packed ^ golden).sum())
        allowed = math.ceil(share * ours.numel())
        worst = max(worst, other / allowed)
        print(f"{what:32} {other} bits differ, allowed {allowed}")

    sizes = {"photo": (240, 352), "tall": (331, 150)}
    variants = {"a": {"photo_v": 2, "tall_v": 3, "photo_r": 9, "tall_r": 1}, "b": {"photo_v": 2, "tall_v": 9, "photo_r": 9, "tall_r": 8}}
    for model, file, suffix, box, score, pixels in (
        ("vitdet", "10_e2e_vitdet", "v", 3e-2, 1e-3, 1e-4),
        ("regnety", "11_e2e_regnety", "r", 2e-3, 1e-4, 1e-5),
    ):
        golden, w, c = load(folder / f"{file}.safetensors"), Weights(set_, model), SMALL[model]
        for shape, (height, width) in sizes.items():
            name = f"{shape}_{suffix}"
            found, _ = run(model, w, c, picture(set_, f"{name}.{variants[set_][name]}", height, width))
            compare(f"{name} p4", found["levels"][2][:, ::4], golden[f"{name}_p4"], 5e-5)
            compare(f"{name} p6", found["levels"][4], golden[f"{name}_p6"], 5e-5)
            compare(f"{name} proposals", found["proposals"], golden[f"{name}_proposals"], 1e-2)
            compare(f"{name} scores of all", found["all_scores"], golden[f"{name}_all_scores"], score)
            compare(f"{name} boxes", found["boxes"], golden[f"{name}_demo_boxes"], box)
            compare(f"{name} scores", found["scores"], golden[f"{name}_demo_scores"], score)
            compare(f"{name} classes", found["classes"], golden[f"{name}_demo_classes"], 0.5)
            compare_bits(f"{name} masks", found["bits"], golden[f"{name}_demo_masks"], pixels)
    golden, w, c = load(folder / "12_given_x101.safetensors"), Weights(set_, "x101"), SMALL["x101"]
    for shape, (height, width) in sizes.items():
        levels = x101_backbone(w, c, prepare("x101", c, picture(set_, shape, height, width))[0])
        boxes = torch.from_numpy(golden[f"{shape}_network_boxes"].copy())
        probabilities = masks("x101", w, c, levels, boxes, torch.zeros(len(boxes), dtype=torch.long))
        compare(f"{shape} masks in given boxes", probabilities[:, None], golden[f"{shape}_mask28"], 1e-4)
        given = torch.from_numpy(golden[f"{shape}_boxes"].copy())
        compare_bits(f"{shape} masks in given boxes", paste(probabilities, given, height, width), golden[f"{shape}_masks"], 1e-5)
    if worst > 1:
        raise SystemExit("these are not the original's networks")


def product_gflops():
    left, right = torch.rand(768, 1280), torch.rand(1280, 5120)
    began = time.perf_counter()
    for _ in range(3):
        left @ right
    return 3 * 2 * 768 * 1280 * 5120 / (time.perf_counter() - began) / 1e9


def measure(arguments):
    model, (height, width) = arguments.model, map(int, arguments.picture.split("x"))
    w, c = Weights("a", model), FULL[model]
    bgr = picture("a", "photo", height, width)
    began = time.perf_counter()
    run(model, w, c, bgr)
    print(json.dumps(dict(model=model, torch=torch.__version__, threads=torch.get_num_threads(), first_secs=time.perf_counter() - began)), flush=True)
    for _ in range(arguments.runs):
        if arguments.wait and not input():
            break
        before = product_gflops()
        found, secs = run(model, w, c, bgr)
        print(json.dumps(dict(secs=secs, total=sum(secs.values()), proposals=len(found["proposals"]), people=len(found["boxes"]),
                              product_gflops=[before, product_gflops()])), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    commands = parser.add_subparsers(required=True, dest="command")
    checking = commands.add_parser("check")
    checking.add_argument("goldens", type=pathlib.Path)
    timing = commands.add_parser("time")
    timing.add_argument("model", choices=FULL)
    timing.add_argument("--picture", default="720x1280", help="height x width")
    timing.add_argument("--runs", type=int, default=3)
    timing.add_argument("--wait", action="store_true", help="each run waits for a line of the standard input")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        if arguments.command == "check":
            check(arguments.goldens, arguments.goldens.resolve().name)
        else:
            measure(arguments)


main()
