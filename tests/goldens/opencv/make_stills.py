"""Writes stills/ and stills.json: tiny pictures of every kind, and digests of what `cv2.imread` makes of them.

    pip install opencv-python-headless==4.10.0.84 pillow numpy && python make_stills.py
"""

import hashlib
import io
import json
import os
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
folder = os.path.join(here, "stills")


def picture(width, height, channels=3, top=255):
    """Ramps, edges and noise."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels].astype(np.int64)
    noise = (x * 7919 + y * 104729 + c * 1299709) * 2654435761 % 65537
    value = (x * (c + 3) * 2300 + y * (5 - c) * 1700 + noise // 3 + (x // 5 + y // 4) % 2 * 20000) % 65536
    return (value * top // 65535).astype(np.uint16 if top > 255 else np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, kind, pixels, more=b"", interlaced=False):
    """A PNG of integer samples (height, width, channels) as they are."""

    def lines(part):
        for row in part:
            bits = "".join(format(int(sample), f"0{depth}b") for sample in row.reshape(-1))
            bits += "0" * (-len(bits) % 8)
            yield b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")

    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [pixels[y::down, x::across] for x, y, across, down in passes]
    data = b"".join(line for part in parts if part.size for line in lines(part))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    )


def animated(width, height):
    """Two pictures of a second each; the first is what programs show that know no animations."""
    control = [struct.pack(">IIIIIHHBB", n, width, height, 0, 0, 1, 1, 0, 0) for n in (0, 1)]
    first = png(width, height, 8, 2, picture(width, height), chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", control[0]))
    second = png(width, height, 8, 2, 255 - picture(width, height))
    data = second[second.index(b"IDAT") + 4 : second.index(b"IEND") - 8]
    more = chunk(b"fcTL", control[1]) + chunk(b"fdAT", struct.pack(">I", 2) + data)
    end = first.index(b"IEND") - 4
    return first[:end] + more + first[end:]


def saved(image, kind, **how):
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def exif(orientation):
    block = Image.Exif()
    block[0x112] = orientation
    return block


def pngs():
    w, h = 19, 11
    palette = chunk(b"PLTE", picture(16, 1).tobytes())
    see_through = chunk(b"tRNS", bytes(range(0, 256, 16)))
    yield "grey-1.png", png(w, h, 1, 0, picture(w, h, 1, 1))
    yield "grey-2.png", png(w, h, 2, 0, picture(w, h, 1, 3))
    yield "grey-4.png", png(w, h, 4, 0, picture(w, h, 1, 15))
    yield "grey-8.png", png(w, h, 8, 0, picture(w, h, 1))
    yield "grey-16.png", png(w, h, 16, 0, picture(w, h, 1, 65535))
    yield "grey-alpha-8.png", png(w, h, 8, 4, picture(w, h, 2))
    yield "grey-alpha-16.png", png(w, h, 16, 4, picture(w, h, 2, 65535))
    yield "grey-8-see-through.png", png(w, h, 8, 0, picture(w, h, 1), chunk(b"tRNS", b"\0\x40"))
    yield "rgb-8.png", png(w, h, 8, 2, picture(w, h))
    yield "rgb-8-interlaced.png", png(w, h, 8, 2, picture(w, h), interlaced=True)
    yield "rgb-8-gamma.png", png(w, h, 8, 2, picture(w, h), chunk(b"gAMA", struct.pack(">I", 30000)))
    yield "rgb-8-see-through.png", png(w, h, 8, 2, picture(w, h), chunk(b"tRNS", b"\0\1\0\2\0\3"))
    yield "rgb-16.png", png(w, h, 16, 2, picture(w, h, 3, 65535))
    yield "rgba-8.png", png(w, h, 8, 6, picture(w, h, 4))
    yield "rgba-16.png", png(w, h, 16, 6, picture(w, h, 4, 65535))
    yield "palette-4.png", png(w, h, 4, 3, picture(w, h, 1, 15), palette)
    yield "palette-4-see-through.png", png(w, h, 4, 3, picture(w, h, 1, 15), palette + see_through)
    yield "animated.png", animated(w, h)
    yield "one-pixel.png", png(1, 1, 8, 2, picture(1, 1))
    for n in (3, 6):
        yield f"exif-{n}.png", saved(Image.fromarray(picture(w, h)), "PNG", exif=exif(n))


def jpegs():
    samplings = {"444": 0x111111, "422": 0x211111, "440": 0x121111, "420": 0x221111, "411": 0x411111}
    for w, h in [(1, 1), (5, 6), (37, 29)]:
        bgr = picture(w, h)
        for name, sampling in samplings.items():
            for progressive in (0, 1):
                how = [cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
                how += [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
                kind = "progressive" if progressive else "baseline"
                yield f"{kind}-{name}-{w}x{h}.jpg", cv2.imencode(".jpg", bgr, how)[1].tobytes()
    w, h = 37, 29
    for progressive in (0, 1):
        how = [cv2.IMWRITE_JPEG_RST_INTERVAL, 2, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        kind = "progressive" if progressive else "baseline"
        yield f"{kind}-restarts.jpg", cv2.imencode(".jpg", picture(w, h), how)[1].tobytes()
        grey = Image.fromarray(picture(w, h, 1)[:, :, 0])
        yield f"{kind}-grey.jpg", saved(grey, "JPEG", progressive=bool(progressive), quality=85)
    cmyk = saved(Image.fromarray(picture(w, h, 4), "CMYK"), "JPEG", quality=85)
    yield "cmyk.jpg", cmyk
    at = cmyk.index(b"Adobe") + 11
    yield "ycck.jpg", cmyk[:at] + b"\2" + cmyk[at + 1 :]
    yield "cmyk-subsampled.jpg", saved(Image.fromarray(picture(w, h, 4), "CMYK"), "JPEG", quality=85, subsampling=2)
    yield "rgb.jpg", saved(Image.fromarray(picture(w, h)), "JPEG", quality=85, keep_rgb=True)
    for n in range(1, 9):
        yield f"exif-{n}.jpg", saved(Image.fromarray(picture(11, 7)), "JPEG", exif=exif(n))


os.makedirs(folder, exist_ok=True)
cases = []
for name, data in list(pngs()) + list(jpegs()):
    path = os.path.join(folder, name)
    with open(path, "wb") as out:
        out.write(data)
    bgr = cv2.imread(path)
    rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    height, width, _ = rgb.shape
    cases.append({"file": name, "width": width, "height": height, "rgb_sha256": hashlib.sha256(rgb.tobytes()).hexdigest()})
with open(os.path.join(here, "stills.json"), "w") as out:
    lines = ",\n  ".join(json.dumps(case) for case in cases)
    out.write(f'{{"opencv": "{cv2.__version__}", "cases": [\n  {lines}\n]}}\n')
