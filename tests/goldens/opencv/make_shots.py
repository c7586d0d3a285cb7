"""Writes shots.json: digests of what `cv2.cvtColor` and `cv2.resize` make of formula images, as PySceneDetect calls them.

    pip install opencv-python-headless==4.10.0.84 numpy && python make_shots.py
"""

import hashlib
import json
import os

import cv2
import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
SIZES = [
    ((320, 240), (256, 192)),
    ((1920, 1088), (274, 155)),
    ((1920, 1088), (256, 145)),
    ((512, 288), (256, 144)),
    ((512, 287), (256, 144)),
    ((768, 431), (256, 144)),
    ((1080, 1920), (144, 256)),
    ((301, 77), (256, 65)),
    ((64, 48), (64, 48)),
    ((5000, 3), (256, 1)),
]


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def noise(width, height):
    """Bytes of a linear congruential generator of 32 bits, whose k-th state is a^k + c * (a^k - 1) / (a - 1)."""
    count = width * height * 3
    multiplier, increment = np.uint32(1664525), np.uint32(1013904223)
    powers = np.cumprod(np.full(count, multiplier, np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.concatenate([np.ones(1, np.uint32), powers[:-1]]), dtype=np.uint32)
    states = powers + increment * sums
    return (states >> np.uint32(24)).astype(np.uint8).reshape(height, width, 3)


values = np.arange(0, 256, 3, dtype=np.uint8)
colors = np.stack(np.meshgrid(values, values, values, indexing="ij"), -1).reshape(1, -1, 3)
golden = {
    "opencv": cv2.__version__,
    "hsv_sha256": sha256(cv2.cvtColor(colors, cv2.COLOR_RGB2HSV)),
    "resize": [
        {"from": old, "to": new, "sha256": sha256(cv2.resize(noise(*old), new, interpolation=cv2.INTER_LINEAR))}
        for old, new in SIZES
    ],
}
with open(os.path.join(here, "shots.json"), "w") as file:
    json.dump(golden, file, indent=1)
    file.write("\n")
