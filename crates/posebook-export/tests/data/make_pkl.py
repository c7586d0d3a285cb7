"""Writes the .pkl files of this folder with joblib, in the structure of PHALP's results; all numbers come from formulas.

    python make_pkl.py FOLDER      (joblib 1.5, numpy 2.4)

extract.pkl  paths as keys, 23 keys, 16 frames, a lost track from frame 9 on
stream.pkl   (path, pts) as keys, 26 keys, 8 frames, a shot, a frame without anybody
short.pkl    31 keys, 2 frames, everybody twice, keypoints as extra data, an uncompressed pickle
"""

import sys
from pathlib import Path

import joblib
import numpy as np


def values(shape, seed, scale=1.0):
    count = int(np.prod(shape))
    return (scale * np.sin(seed + 0.37 * np.arange(count))).reshape(shape).astype("float32")


def turns(count, seed):
    """Rotation matrices about z."""
    angles = 0.5 * np.sin(seed + np.arange(count))
    out = np.zeros((count, 3, 3), "float32")
    out[:, 0, 0] = out[:, 1, 1] = np.cos(angles)
    out[:, 1, 0], out[:, 0, 1] = np.sin(angles), -np.sin(angles)
    out[:, 2, 2] = 1
    return out


def person(t, i, size):
    seed = 10 * t + i
    h, w = size
    return {
        "bbox": np.array([100 * i + t, 50, 60.5, 180 + i], "float32"),
        "appe": np.tile(values((64,), i, 3.0), 64),
        "loca": values((99,), seed),
        "pose": values((229,), seed),
        "uv": values((4, 2, 2), seed),
        "center": np.array([100 * i + t + 30.25, 140], "float32"),
        "scale": float((180 + i) / max(h, w)),
        "size": [h, w],
        "class_name": np.int64(0),
        "conf": np.float32(0.9 - 0.01 * t),
        "annotations": [],
        "smpl": {
            "global_orient": turns(1, seed),
            "body_pose": turns(23, seed + 0.5),
            "betas": values((10,), i),
        },
        "camera": np.array([0.1 * i, 0.2, 40 + 0.1 * t], "float32"),
        "camera_bbox": np.array([0.9, 0.01 * i, 0.02], "float32"),
        "3d_joints": np.concatenate([values((44, 3), seed), np.zeros((1, 3), "float32")]),
        "2d_joints": (0.5 + values((90,), seed, 0.1)).astype("float32"),
        "mask": [{"size": [h, w], "counts": "PYc0"}],
        "extra_data": i - 1,
    }


EVAL = ["tracked_ids", "tracked_bbox", "tid", "bbox", "tracked_time"]
EXTRA = ["center", "scale", "size", "img_path", "img_name", "class_name", "conf", "annotations",
         "smpl", "camera", "camera_bbox", "3d_joints", "2d_joints", "mask", "extra_data"]


def frame(t, key, entries, history=(), before=(), after=(), shot=0):
    """entries: (id, frames since it was seen, the values of that frame)"""
    out = {"time": t, "shot": shot, "frame_path": key, **dict(before)}
    for name in [*EVAL, *history, *EXTRA, *after]:
        out[name] = []
    for i, age, data in entries:
        if age == 0:
            out["tracked_ids"].append(i)
            out["tracked_bbox"].append(data["bbox"])
        out["tid"].append(i)
        out["bbox"].append(data["bbox"])
        out["tracked_time"].append(age)
        for name in [*history, *EXTRA]:
            if name == "img_path":
                out[name].append(key)
            elif name == "img_name":
                out[name].append(key.split("/")[-1] if isinstance(key, str) else None)
            else:
                out[name].append(data[name])
        for name in after:
            out[name].append(values((3,), t))
    return out


def main(folder):
    size = (200, 320)
    people = {(t, i): person(t, i, size) for t in range(16) for i in (1, 2)}
    extract = {}
    for t in range(16):
        key = f"outputs/_DEMO/clip/img/{t + 1:06}.jpg"
        lost = [(2, max(t - 8, 0), people[min(t, 8), 2])]
        extract[key] = frame(t, key, [(1, 0, people[t, 1]), *lost])
    joblib.dump(extract, folder / "extract.pkl", compress=3)
    stream = {}
    for t in range(8):
        key = ("clips/clip.mp4", 512 * t)
        entries = [] if t == 7 else [(1, 0, people[t, 1]), (2, 0, people[t, 2])]
        stream[key] = frame(t, key, entries, ["appe", "loca", "pose"], shot=int(t == 3))
    joblib.dump(stream, folder / "stream.pkl", compress=3)
    short = {}
    for t in range(2):
        key = f"outputs/_DEMO/clip/img/{t + 1:06}.jpg"
        one, two = people[t, 1], {**people[t, 2], "extra_data": values((25, 3), t)}
        entries = [(1, 0, one), (2, 0, two), (1, 0, one), (2, 0, two)]
        before = {"frame": np.zeros((4, 6, 3), "uint8")}
        after = ["prediction_uv", "prediction_pose", "prediction_loca"]
        short[key] = frame(t, key, entries, ["appe", "loca", "pose", "uv"], before, after)
    joblib.dump(short, folder / "short.pkl")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
