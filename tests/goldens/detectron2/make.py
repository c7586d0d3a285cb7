"""Writes state_dict_PROTOCOL.pkl: a small state dict as detectron2's model zoo has it, by numpy's own pickling.

Run with numpy 1.26.4 (Python 3.11): python3 make.py
"""
import pickle

import numpy as np

model = {
    "a.weight": (np.arange(6, dtype=np.float32) / 4 - 0.5).reshape(2, 3),
    "b.weight": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(3, 2)),
    "c.running_mean": np.array([0.1, -1e300], np.float64)[:1],
    "d.half": np.array([1.5, -0.25], np.float16),
    "e.big_endian": np.array([1.0, 258.5], ">f4"),
    "f.num_batches_tracked": np.array(7, np.int64),
    "g.empty": np.zeros((0, 3), np.float32),
    "h.text": "not an array",
    "i.objects": np.array([None, "x"], object),
}
for protocol in (2, 3, 4, 5):
    with open(f"state_dict_{protocol}.pkl", "wb") as file:
        pickle.dump({"model": model, "__author__": "Detectron2 Model Zoo"}, file, protocol)
