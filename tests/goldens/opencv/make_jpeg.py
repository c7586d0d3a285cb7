"""Writes jpeg.json: digests of what OpenCV makes of a picture that a formula draws.

    pip install opencv-python-headless numpy && python make_jpeg.py
"""

import hashlib
import json
import os

import cv2
import numpy as np


def picture(width, height):
    """Saturated patches, a ramp, and noise on the right; `images/jpeg/tests.rs` of posebook-video draws the same."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3].astype(np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    noise = ((x * np.uint64(73856093)) ^ (y * np.uint64(19349663)) ^ (c * np.uint64(83492791))) & mask
    noise ^= noise >> np.uint64(13)
    noise = (noise * np.uint64(0x5BD1E995)) & mask
    noise ^= noise >> np.uint64(15)
    ramp = ((x * (c + np.uint64(3)) + y * (np.uint64(5) - c)) % np.uint64(97)).astype(np.int64) + 80
    rough = ramp + (noise % np.uint64(160)).astype(np.int64) - 80
    value = np.where(x >= width // 2, rough, ramp)
    patch = (x // np.uint64(3) + y // np.uint64(5) + c) % np.uint64(2) * np.uint64(255)
    value = np.where(y < height // 4, patch.astype(np.int64), value)
    return np.clip(value, 0, 255).astype(np.uint8)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def cases():
    for width, height in [(1, 1), (4, 3), (5, 6), (16, 16), (17, 31), (130, 75), (129, 74), (320, 181)]:
        rgb = picture(width, height)
        for quality in [1, 25, 50, 60, 75, 85, 90, 95, 99, 100]:
            bgr = np.ascontiguousarray(rgb[:, :, ::-1])
            file = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            back = cv2.imdecode(file, cv2.IMREAD_COLOR)[:, :, ::-1]
            yield {
                "width": width,
                "height": height,
                "quality": quality,
                "rgb_sha256": sha256(rgb.tobytes()),
                "file_bytes": len(file),
                "file_sha256": sha256(file.tobytes()),
                "back_sha256": sha256(np.ascontiguousarray(back).tobytes()),
            }


here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "jpeg.json"), "w") as out:
    lines = ",\n  ".join(json.dumps(case) for case in cases())
    out.write(f'{{"opencv": "{cv2.__version__}", "cases": [\n  {lines}\n]}}\n')
