"""The layers of a Mask R-CNN in PyTorch, for timing.

In: a line of JSON on the standard input for every run: a layer and the sizes of its input. Out: a line of JSON with the
seconds of the run, and some values of the result in the order `(b, h, w, c)`. Weights and inputs are the same formula of the
index as in `mask_rcnn.rs`. Written for this project; ROIAlign assigns boxes to levels as detectron2 does, one call a level.
"""

import json
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
import torchvision


def formula(count, seed):
    """Numbers in [-1, 1): the upper 24 bits of a product of integers."""
    index = np.arange(count, dtype=np.uint32) + np.uint32(seed)
    bits = index * np.uint32(2654435761)
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(2246822519)
    return ((bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)).astype(np.float32)


def weights(shape, seed):
    scale = np.float32(1.0 / np.sqrt(np.prod(shape[1:]))) if len(shape) > 1 else np.float32(0.1)
    return torch.from_numpy(formula(int(np.prod(shape)), seed) * scale).reshape(shape)


def maps(b, h, w, c, seed):
    """A batch in the order of PyTorch, filled in the order `(b, h, w, c)`."""
    values = torch.from_numpy(formula(b * h * w * c, seed)).reshape(b, h, w, c)
    return values.permute(0, 3, 1, 2).contiguous()


def pooled(levels, boxes, side):
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assigned = torch.floor(4 + torch.log2(areas.sqrt() / 224 + 1e-8)).clamp(2, 5).long() - 2
    out = torch.zeros(len(boxes), levels[0].shape[1], side, side)
    for level, values in enumerate(levels):
        chosen = torch.nonzero(assigned == level).squeeze(1)
        rois = torch.cat([torch.zeros(len(chosen), 1), boxes[chosen]], 1)
        out[chosen] = torchvision.ops.roi_align(values, rois, side, 1 / (4 << level), 0, True)
    return out


def layer(case):
    """The run of a case."""
    kind = case["kind"]
    if kind == "conv":
        inputs, outputs, kernel, stride, padding, groups = case["spec"]
        x = maps(*case["size"], inputs, 1)
        w, b = weights((outputs, inputs // groups, kernel, kernel), 2), weights((outputs,), 3)
        return lambda: F.relu_(F.conv2d(x, w, b, stride, padding, 1, groups))
    if kind == "deconv":
        inputs, outputs = case["channels"]
        x = maps(*case["size"], inputs, 1)
        w, b = weights((inputs, outputs, 2, 2), 2), weights((outputs,), 3)
        return lambda: F.relu_(F.conv_transpose2d(x, w, b, 2))
    if kind == "linear":
        inputs, outputs = case["channels"]
        x = torch.from_numpy(formula(case["rows"] * inputs, 1)).reshape(-1, inputs)
        w, b = weights((outputs, inputs), 2), weights((outputs,), 3)
        return lambda: F.linear(x, w, b)[:, :, None, None]
    if kind == "pool":
        x = maps(*case["size"], case["channels"], 1)
        return lambda: F.max_pool2d(x, 3, 2, 1)
    if kind == "roi_align":
        side = case["image"] // 4
        levels = [maps(1, side >> level, side >> level, case["channels"], 1) for level in range(4)]
        boxes = torch.tensor(case["boxes"], dtype=torch.float32)
        return lambda: pooled(levels, boxes, case["side"])
    raise ValueError(kind)


def main():
    torch.set_num_threads(int(sys.argv[1]))
    last, run = None, None
    with torch.inference_mode():
        for line in sys.stdin:
            if line != last:
                last, run = line, layer(json.loads(line))
                run()
            began = time.perf_counter()
            out = run()
            seconds = time.perf_counter() - began
            values = out.permute(0, 2, 3, 1).reshape(-1)
            step = max(1, values.numel() // 97)
            print(json.dumps([seconds, values[::step].tolist()]), flush=True)


main()
