"""The operations by which PHALP associates people with tracks, in numpy, scikit-learn and lap, for timing.

In: a file of f32 numbers, frame by frame and person by person: 229 of the pose, 99 of the location; the number of people in a
frame; `--textures` to also copy texture maps where PHALP copies them. Out: JSON on the standard output: seconds of each
frame, and the track of each person of each frame. Written for this project; it follows PHALP's order of operations, not its
text: one row of costs per track, three `Ridge` fits per track and frame, deep copies of what a track stores.
"""

import copy
import json
import sys
import time
import warnings

import numpy as np
from scipy import stats
from sklearn.linear_model import Ridge

try:
    from lap import lapjv
except ImportError:
    lapjv = None
    from scipy.optimize import linear_sum_assignment

POSE, LOCATION, HISTORY, LOST_FOR, N_INIT, GATE = 229, 99, 7, 50, 5, 100.0
EQ_019 = dict(texture=4.0536, pose=1.3070, place=0.3792, depth=4.1658, pose_ceiling=1.5)
RIDGE = dict(depth=5.0, x=1.2, y=2.0)


def squared_distances(a, b):
    """Of all rows of `a` to all rows of `b`, by the expanded square."""
    lengths_a, lengths_b = np.square(a).sum(axis=1), np.square(b).sum(axis=1)
    return np.clip(lengths_a[:, None] + lengths_b[None, :] - 2.0 * a @ b.T, 0.0, np.inf)


def cost_row(samples, people):
    """Costs of one track: the least over its samples."""
    pose = np.asarray([sample["pose"] for sample in samples])
    place = np.asarray([sample["loca"] for sample in samples])
    textures = np.asarray([sample["uv"] for sample in samples])
    people = {key: copy.deepcopy(np.asarray(value)) for key, value in people.items()}
    pose_distance = squared_distances(pose[:, :-3], people["pose"][:, :-3])
    of_track, of_people = place[:, 88:90], people["loca"][:, 88:90]
    distance = np.sqrt(squared_distances(of_track, of_people))
    tail, tail_people = place[:, 90:].reshape(-1, 3, 3), people["loca"][:, 90:].reshape(-1, 3, 3)
    interval = np.tile(np.sqrt(tail[:, [1], 0] ** 2 + tail[:, [1], 1] ** 2), (1, len(of_people)))
    ratio = np.matmul(tail[:, [0], 2], 1.0 / tail_people[:, [0], 2].T)
    ratio[ratio > 1] = 1.0 / ratio[ratio > 1]
    depth = -np.log(ratio)
    depth_interval = np.tile(np.abs(np.log(1.0 / tail[:, [1], 2])), (1, len(of_people)))
    texture = np.zeros((len(textures), len(of_people)))
    pose_distance[pose_distance > EQ_019["pose_ceiling"]] = EQ_019["pose_ceiling"]
    place_exponent = distance / (0.1 + np.tanh(interval)) / EQ_019["place"]
    depth_exponent = depth / (0.1 + np.tanh(depth_interval)) / EQ_019["depth"]
    cost = (1 + texture * EQ_019["texture"]) * (1 + pose_distance * EQ_019["pose"])
    cost = np.nan_to_num(cost * np.exp(place_exponent) * np.exp(depth_exponent))
    return np.maximum(0.0, cost.min(axis=0))


def fitted(values, times, ahead, alpha):
    """Value at time `ahead` of a ridge regression, and half the width of its 95 % prediction interval."""
    design = times[:, np.newaxis] ** [0, 1]
    line = Ridge(alpha=alpha)
    line.fit(design, values)
    value = line.predict(np.array([1, ahead]).reshape(1, -1))[0]
    on_line = line.predict(np.hstack((np.ones((times.size, 1)), times.reshape(-1, 1))))
    count = values.size
    error = np.sqrt(np.sum((values - on_line) ** 2) / (count - 2))
    spread = np.sum((times - np.mean(times)) ** 2)
    quantile = stats.t.ppf(0.975, count - 2)
    return value, quantile * error * np.sqrt(1 + 1 / count + (ahead - np.mean(times)) ** 2 / spread)


def predicted_location(history, missed):
    place = np.array([past["loca"] for past in history])
    times = np.array([past["time"] for past in history])
    ahead = times[-1] + min(missed, 48) + 1
    log_depth, depth_interval = fitted(np.log(place[:, 92]), times, ahead, RIDGE["depth"])
    x, x_interval = fitted(place[:, 88], times, ahead, RIDGE["x"])
    y, y_interval = fitted(place[:, 89], times, ahead, RIDGE["y"])
    narrowed = 1 + np.sum(np.diff(times) == 0)
    depth = np.exp(log_depth)
    out = place[-1].copy()
    out[88:90] = x, y
    out[90:93] = (x - 0.5) * depth / 5000.0 * 256.0, (y - 0.5) * depth / 5000.0 * 256.0, depth
    out[93:96] = x_interval / narrowed, y_interval / narrowed, np.exp(depth_interval) / narrowed
    out[96:] = 1, 1, 0
    return out


def assigned(cost):
    """Track and person of the assignment of least cost."""
    if lapjv is None:
        return list(zip(*linear_sum_assignment(cost)))
    _, person_of_track, _ = lapjv(cost, extend_cost=True)
    return [(track, person) for track, person in enumerate(person_of_track) if person >= 0]


class Tracks:
    """All live tracks."""

    def __init__(self):
        self.live, self.next_id = [], 1

    def update(self, people, time_index):
        for track in self.live:
            track["missed"] += 1
        pairs = []
        if self.live and people:
            stacked = {key: np.array([person[key] for person in people]) for key in ("pose", "loca", "uv")}
            cost = np.zeros((len(self.live), len(people)))
            for row, track in enumerate(self.live):
                cost[row] = cost_row(track["samples"], stacked)
            cost[cost > GATE] = GATE + 1e-5
            pairs = [(track, person) for track, person in assigned(cost) if cost[track, person] <= GATE]
        of_track, taken = dict(pairs), {person for _, person in pairs}
        for at, track in enumerate(self.live):
            if at in of_track:
                track["history"] = track["history"][1:] + [copy.deepcopy(people[of_track[at]])]
                track["missed"], track["person"] = 0, of_track[at]
                track["hits"] += 1
        kept = []
        for track in self.live:
            if track["missed"] == 0 or (track["hits"] >= N_INIT and track["missed"] <= LOST_FOR):
                kept.append(track)
        for track in self.live:
            last = copy.deepcopy(track["history"][-1])
            location = predicted_location(track["history"], track["missed"])
            track["samples"] = [dict(pose=last["pose"], loca=location, uv=last["uv"])]
        self.live = kept
        for at, person in enumerate(people):
            if at not in taken:
                track = dict(id=self.next_id, history=[person] * HISTORY, missed=0, hits=1, person=at)
                track["samples"] = [copy.deepcopy(person)]
                self.live.append(track)
                self.next_id += 1
        ids = [0] * len(people)
        for track in self.live:
            if track["missed"] == 0:
                ids[track["person"]] = track["id"]
        return ids


def main():
    warnings.filterwarnings("ignore")
    path, count = sys.argv[1], int(sys.argv[2])
    numbers = np.fromfile(path, "<f4").reshape(-1, count, POSE + LOCATION)
    texture = np.zeros((4, 256, 256) if "--textures" in sys.argv else (1,), np.float32)
    tracks, seconds, identities = Tracks(), [], []
    for t, frame in enumerate(numbers):
        people = [dict(pose=row[:POSE], loca=row[POSE:], uv=texture.copy(), time=t) for row in frame]
        began = time.perf_counter()
        ids = tracks.update(people, t)
        seconds.append(time.perf_counter() - began)
        identities.append(ids)
    json.dump([seconds, identities], sys.stdout)


main()
