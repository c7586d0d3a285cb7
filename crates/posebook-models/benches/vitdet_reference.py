"""Times a windowed and a global block of ViTDet-H and a matrix product in PyTorch, on request.

Reads lines `window`, `global` or `product` and answers each with the seconds and the processor seconds of one run. The attention is that of detectron2: scores,
plus two relative-position terms, softmax, values; a fused attention has no place for these terms. Own code, after the formulas.
"""
import sys
import time

import torch
import torch.nn.functional as F

E, HEADS, SIDE, WINDOW = 1280, 16, 64, 14
torch.manual_seed(0)


def linear(inputs, outputs):
    return torch.randn(outputs, inputs) * inputs**-0.5, torch.randn(outputs) * 0.1


class Block:
    def __init__(self, side):
        self.side = side
        self.norms = [(torch.ones(E), torch.zeros(E)) for _ in range(2)]
        self.qkv, self.proj = linear(E, 3 * E), linear(E, E)
        self.fc1, self.fc2 = linear(E, 4 * E), linear(4 * E, E)
        self.tables = [torch.randn(2 * side - 1, E // HEADS) * 0.1 for _ in range(2)]

    def attention(self, x):
        b, h, w, _ = x.shape
        d = E // HEADS
        qkv = F.linear(x, *self.qkv).view(b, h * w, 3, HEADS, d).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.reshape(3, b * HEADS, h * w, d).unbind(0)
        scores = (q * d**-0.5) @ k.transpose(1, 2)
        at = torch.arange(self.side)
        rows, columns = (table[at[:, None] - at[None, :] + self.side - 1] for table in self.tables)
        grid = q.view(b * HEADS, h, w, d)
        of_rows = torch.einsum("bhwc,hkc->bhwk", grid, rows)
        of_columns = torch.einsum("bhwc,wkc->bhwk", grid, columns)
        scores = scores.view(b * HEADS, h, w, h, w) + of_rows[..., None] + of_columns[..., None, :]
        weights = scores.view(b * HEADS, h * w, h * w).softmax(-1)
        out = (weights @ v).view(b, HEADS, h, w, d).permute(0, 2, 3, 1, 4).reshape(b, h, w, E)
        return F.linear(out, *self.proj)

    def __call__(self, x):
        y = F.layer_norm(x, (E,), *self.norms[0], 1e-6)
        if self.side != SIDE:
            count = -(-SIDE // WINDOW)
            pad = count * WINDOW - SIDE
            y = F.pad(y, (0, 0, 0, pad, 0, pad)).view(1, count, WINDOW, count, WINDOW, E)
            y = self.attention(y.transpose(2, 3).reshape(-1, WINDOW, WINDOW, E))
            y = y.view(1, count, count, WINDOW, WINDOW, E).transpose(2, 3).reshape(1, count * WINDOW, count * WINDOW, E)
            y = y[:, :SIDE, :SIDE]
        else:
            y = self.attention(y)
        x = x + y
        y = F.layer_norm(x, (E,), *self.norms[1], 1e-6)
        return x + F.linear(F.gelu(F.linear(y, *self.fc1)), *self.fc2)


def main():
    blocks = {"window": Block(WINDOW), "global": Block(SIDE)}
    x = torch.randn(1, SIDE, SIDE, E)
    left, right = torch.randn(SIDE * SIDE, E), torch.randn(4 * E, E)
    with torch.inference_mode():
        for line in sys.stdin:
            name = line.strip()
            began = time.perf_counter(), time.process_time()
            if name == "product":
                F.linear(left, right)
            else:
                blocks[name](x)
            print(time.perf_counter() - began[0], time.process_time() - began[1], flush=True)


main()
