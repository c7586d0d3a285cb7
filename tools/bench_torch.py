#!/usr/bin/env python3
"""Measures HMR2's network in PyTorch, for comparison with Posebook (`just gpu`).

The network is reimplemented here with the dimensions of `Config::hmr2()` (crates/posebook-models/src/hmr2/config.rs) and random
weights: ViT-H on 256 x 192 of a 256 x 256 crop, and the decoder head. Attention uses
scaled_dot_product_attention. It is timed in eager mode and with torch.compile, in each precision and
batch size. For comparison, the matrix products of the same shapes are timed alone, and one large product
gives the GPU's upper limit. Times are medians of several synchronized passes after warm-up.

Prints one JSON document on stdout; on failure {"error": "reason"} on one line, with exit code 1.
Needs only torch. Does not import Posebook.
"""

import argparse
import contextlib
import gc
import json
import statistics
import sys
import time

# image, patch, (dim, depth, heads, mlp ratio) of the backbone, (dim, depth, heads, head width, mlp) of the head
NETWORKS = {
    "vit-h": (256, 16, (1280, 32, 16, 4), (1024, 6, 8, 64, 1024)),
    "tiny": (128, 16, (192, 6, 3, 4), (192, 3, 4, 48, 384)),
}
PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
OUTPUTS = (144, 10, 3)  # pose, betas, camera
PATCH_PADDING = 2
CEILING_SIDE = 8192  # of the large square product


class Refusal(Exception):
    """Nothing can be measured here, and why."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:0 (default), cuda:1, .. or cpu")
    parser.add_argument("--batches", default="1,8,64,256", help="crops at once, by commas (default %(default)s)")
    parser.add_argument("--precisions", default="f32,bf16,f16", help="by commas (default %(default)s)")
    parser.add_argument("--network", choices=NETWORKS, default="vit-h", help="its sizes (default %(default)s)")
    parser.add_argument("--compile", choices=("whole", "blocks", "none"), default="whole",
                        help="what torch.compile is given: the network, for each batch anew (default); "
                             "each block, which compiles much faster; nothing")
    parser.add_argument("--repeats", type=int, default=10, help="timed passes of each measurement (default 10)")
    parser.add_argument("--deadline", type=float, default=0, metavar="SECONDS",
                        help="start no measurement after so long; 0, the default: never mind")
    parser.add_argument("--quick", action="store_true", help="5 passes, blocks compiled, 150 seconds at most")
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.compile = min(given.repeats, 5), "blocks" if given.compile == "whole" else given.compile
        given.deadline = given.deadline or 150
    try:
        given.batches = [int(batch) for batch in given.batches.split(",")]
    except ValueError:
        parser.error(f"--batches {given.batches}: numbers by commas, 1,8,64 for example")
    given.precisions = given.precisions.split(",")
    for name in given.precisions:
        if name not in PRECISIONS:
            parser.error(f"--precisions: no precision '{name}'; there are {', '.join(PRECISIONS)}")
    if min(given.batches) < 1 or given.repeats < 1:
        parser.error("--batches and --repeats are 1 or more")
    return given


def layers(torch, sizes):
    """The two kinds of layer as module classes: the backbone's block, the decoder's layer."""
    nn, attention = torch.nn, torch.nn.functional.scaled_dot_product_attention
    (dim, _, heads, ratio), (head_dim, _, head_heads, head_width, head_mlp) = sizes[2:]

    def split(x, heads):  # (b, n, h * d) to (b, h, n, d)
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def attend(q, k, v):  # (b, h, n, d) to (b, n, h * d)
        return attention(q, k, v).transpose(1, 2).flatten(2)

    def mlp(size, hidden):
        return nn.Sequential(nn.Linear(size, hidden), nn.GELU(), nn.Linear(hidden, size))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
            self.qkv, self.proj, self.mlp = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim), mlp(dim, dim * ratio)

        def forward(self, x):
            q, k, v = (split(part, heads) for part in self.qkv(self.norm1(x)).chunk(3, -1))
            x = x + self.proj(attend(q, k, v))
            return x + self.mlp(self.norm2(x))

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            inner = head_heads * head_width
            self.norms = nn.ModuleList(nn.LayerNorm(head_dim) for _ in range(3))
            self.to_qkv = nn.Linear(head_dim, 3 * inner, bias=False)
            self.to_q, self.to_kv = nn.Linear(head_dim, inner, bias=False), nn.Linear(dim, 2 * inner, bias=False)
            self.outs = nn.ModuleList(nn.Linear(inner, head_dim) for _ in range(2))
            self.mlp = mlp(head_dim, head_mlp)

        def forward(self, token, context):
            q, k, v = (split(part, head_heads) for part in self.to_qkv(self.norms[0](token)).chunk(3, -1))
            token = token + self.outs[0](attend(q, k, v))
            q = split(self.to_q(self.norms[1](token)), head_heads)
            k, v = (split(part, head_heads) for part in self.to_kv(context).chunk(2, -1))
            token = token + self.outs[1](attend(q, k, v))
            return token + self.mlp(self.norms[2](token))

    return Block, Layer


def network(torch, sizes):
    """HMR2's network as a torch module: `(b, 3, s, s)` to rotations, betas and camera."""
    nn, normalize = torch.nn, torch.nn.functional.normalize
    Block, Layer = layers(torch, sizes)
    image, patch, (dim, depth, _, _), (head_dim, head_depth, _, _, _) = sizes

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, dim, patch, stride=patch, padding=PATCH_PADDING)
            self.positions = nn.Parameter(torch.randn(1, tokens(sizes) + 1, dim) * 0.02)
            self.blocks = nn.ModuleList(Block() for _ in range(depth))
            self.last_norm = nn.LayerNorm(dim, eps=1e-6)
            self.token = nn.Parameter(torch.randn(1, 1, head_dim) * 0.02)
            self.layers = nn.ModuleList(Layer() for _ in range(head_depth))
            self.read_outs = nn.ModuleList(nn.Linear(head_dim, size) for size in OUTPUTS)

        def forward(self, crops):
            x = self.patches(crops[..., image // 8 : image - image // 8]).flatten(2).transpose(1, 2)
            x = x + self.positions[:, 1:] + self.positions[:, :1]
            for block in self.blocks:
                x = block(x)
            x = self.last_norm(x)
            token = self.token.repeat(x.shape[0], 1, 1)
            for layer in self.layers:
                token = layer(token, x)
            pose, betas, camera = (read_out(token[:, 0]) for read_out in self.read_outs)
            first, second = pose.unflatten(-1, (24, 6)).split(3, -1)
            first = normalize(first, dim=-1)
            second = normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
            third = torch.linalg.cross(first, second, dim=-1)
            return torch.stack((first, second, third), -1), betas, camera

    return Network()


def tokens(sizes):
    """Patches that the backbone sees: rows times columns."""
    image, patch = sizes[:2]
    along = [(side + 2 * PATCH_PADDING - patch) // patch + 1 for side in (image, image - image // 4)]
    return along[0] * along[1]


def block_products(sizes):
    """The products of one of the backbone's blocks with its weights, `(k, n)` each; m is tokens times crops."""
    dim, _, _, ratio = sizes[2]
    return [(dim, 3 * dim), (dim, dim), (dim, ratio * dim), (ratio * dim, dim)]


def flop_per_crop(sizes):
    """Additions and multiplications in the matrix products of one crop, attention's included."""
    (_, patch, (dim, depth, _, _), (head_dim, head_depth, head_heads, head_width, head_mlp)) = sizes
    n, inner = tokens(sizes), head_heads * head_width
    backbone = n * 3 * patch**2 * dim + depth * (n * sum(k * m for k, m in block_products(sizes)) + 2 * n * n * dim)
    layer = (3 * head_dim * inner + inner * head_dim) + (head_dim * inner + n * dim * 2 * inner + 2 * n * inner)
    layer += inner * head_dim + 2 * head_dim * head_mlp
    return 2 * (backbone + head_depth * layer + head_dim * sum(OUTPUTS))


class Bench:
    """The device, and what is measured on it."""

    def __init__(self, torch, given):
        self.torch, self.given = torch, given
        self.device, self.sizes = torch.device(given.device), NETWORKS[given.network]
        self.started, self.skipped = time.perf_counter(), []

    @property
    def on_card(self):
        return self.device.type == "cuda"

    def synchronize(self):
        if self.on_card:
            self.torch.cuda.synchronize(self.device)

    def in_time(self, what):
        """Whether there is time left to measure `what`; noted where there is none."""
        late = 0 < self.given.deadline < time.perf_counter() - self.started
        if late:
            self.skipped.append(what)
        return not late

    def seconds(self, work):
        """`work`'s seconds in each of several passes, after warm-up; and those of the very first."""
        def once():
            self.synchronize()
            start = time.perf_counter()
            work()
            self.synchronize()
            return time.perf_counter() - start

        first = once()
        for _ in range(2 if self.on_card else 1):
            once()
        return [once() for _ in range(self.given.repeats)], first

    def products(self, dtype, rows):
        """TFLOP/s of one block's matrix products over `rows` tokens, and nothing else."""
        pairs = [(self.random(dtype, rows, k), self.random(dtype, k, n)) for k, n in block_products(self.sizes)]
        flop = sum(2 * rows * k * n for k, n in block_products(self.sizes))
        seconds, _ = self.seconds(lambda: [a @ b for a, b in pairs])
        return flop / statistics.median(seconds) / 1e12

    def ceiling(self, dtype):
        """TFLOP/s of one large square product; smaller where there is no card."""
        side = CEILING_SIDE if self.on_card else 512
        a, b = self.random(dtype, side, side), self.random(dtype, side, side)
        seconds, _ = self.seconds(lambda: a @ b)
        return {"side": side, "tflops": 2 * side**3 / statistics.median(seconds) / 1e12}

    def random(self, dtype, *shape):
        return self.torch.randn(shape, device=self.device, dtype=dtype)

    def row(self, model, precision, batch, mode):
        """One line of the table; a batch that does not fit is a row too."""
        torch, row = self.torch, {"mode": mode, "precision": precision, "batch": batch, "error": None}
        out_of_memory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
        try:
            image = self.sizes[0]
            crops = self.random(getattr(torch, PRECISIONS[precision]), batch, 3, image, image)
            if self.on_card:
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(self.device)
            seconds, first = self.seconds(lambda: model(crops))
        except out_of_memory as error:
            return row | {"error": f"out of memory: {str(error).splitlines()[0]}"}
        except Exception as error:  # a compiler's errors have no common class
            return row | {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
        median = statistics.median(seconds)
        return row | {
            "crops_per_sec": batch / median,
            "secs_median": median,
            "secs_min": min(seconds),
            "secs_max": max(seconds),
            "passes": len(seconds),
            "first_pass_secs": first,
            "tflops": flop_per_crop(self.sizes) * batch / median / 1e12,
            "allocated_peak_bytes": torch.cuda.max_memory_allocated(self.device) if self.on_card else None,
            "reserved_peak_bytes": torch.cuda.max_memory_reserved(self.device) if self.on_card else None,
        }

    def compiled(self, model):
        """`model` through torch.compile, as asked."""
        if self.given.compile == "whole":
            return self.torch.compile(model, dynamic=False)
        for part in (*model.blocks, *model.layers):
            part.compile(dynamic=False)
        return model

    def precision(self, name):
        """Everything in one precision: its ceiling, its products, its rows."""
        torch, dtype = self.torch, getattr(self.torch, PRECISIONS[name])
        found = {"precision": name, "ceiling": self.ceiling(dtype), "products": [], "rows": []}
        for batch in self.given.batches:
            if self.in_time(f"{name} products {batch}"):
                rows = tokens(self.sizes) * batch
                found["products"].append({"batch": batch, "tflops": self.products(dtype, rows)})
        torch.manual_seed(0)
        model = network(torch, self.sizes).to(self.device, dtype).eval()
        found["weights_bytes"] = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        for mode in ("eager",) if self.given.compile == "none" else ("eager", "compiled"):
            run = model if mode == "eager" else self.compiled(model)
            for batch in self.given.batches:
                if self.in_time(f"{name} {mode} {batch}"):
                    torch._dynamo.reset()  # past some compilations of one function it would stay eager
                    found["rows"].append(self.row(run, name, batch, mode))
                    print(json.dumps(found["rows"][-1]), file=sys.stderr)
        del model, run
        torch._dynamo.reset()  # it keeps compiled code and weights
        gc.collect()
        return found


def measure(given):
    """The whole document."""
    try:
        import torch
    except ImportError as error:
        raise Refusal(f"python3 has no torch ({error}): nothing to compare with") from error
    try:
        device = torch.device(given.device)
    except RuntimeError as error:
        raise Refusal(f"'{given.device}' is no device: give cuda:0 or cpu") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise Refusal(f"torch {torch.__version__} sees no card, so that '{given.device}' cannot be used")
        if (device.index or 0) >= torch.cuda.device_count():
            raise Refusal(f"there is no '{given.device}': torch sees {torch.cuda.device_count()} card(s)")
        torch.cuda.set_device(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # f32 is f32
    bench = Bench(torch, given)
    with torch.inference_mode():
        parts = [bench.precision(name) for name in given.precisions if bench.in_time(name)]
    return {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "device": torch.cuda.get_device_name(device) if bench.on_card else "cpu",
        "device_total_bytes": torch.cuda.get_device_properties(device).total_memory if bench.on_card else None,
        "threads": None if bench.on_card else torch.get_num_threads(),
        "tf32": False,
        "network": given.network,
        "tokens_per_crop": tokens(bench.sizes),
        "flop_per_crop": flop_per_crop(bench.sizes),
        "compiled": given.compile,
        "precisions": parts,
        "skipped_for_time": bench.skipped,
        "secs": time.perf_counter() - bench.started,
    }


def main():
    given = arguments()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            document = measure(given)
    except Refusal as refusal:
        print(json.dumps({"error": str(refusal)}))
        return 1
    except Exception as error:  # the caller reads JSON and nothing else
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
