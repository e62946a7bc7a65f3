"""Scores of scikit-learn's IsolationForest on one window, for tests/it/isolation_forest.rs.

python3 tests/reference/isolation_forest.py > tests/data/isolation_forest_sklearn.csv
Made with scikit-learn 1.9.1 and numpy 2.4.6. The rows are made the same way in the test, from SplitMix64.
"""

import numpy as np
from sklearn.ensemble import IsolationForest

MASK = (1 << 64) - 1
N_FEATURES = 6


def mix(v):
    v = ((v ^ (v >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    v = ((v ^ (v >> 27)) * 0x94D049BB133111EB) & MASK
    return v ^ (v >> 31)


def uniform(i, j, k):
    return (mix((i * 1_000_003 + j * 1_009 + k + 1) & MASK) >> 11) / (1 << 53)


def row(i):
    """Three clusters of different width and weight; every fiftieth row lies anywhere."""
    kind = uniform(i, 99, 0)
    center, width = (0.0, 1.0) if kind < 0.6 else (6.0, 0.5) if kind < 0.9 else (-8.0, 2.0)
    x = []
    for j in range(N_FEATURES):
        if i % 50 == 0:
            x.append(40.0 * uniform(i, j, 0) - 20.0)
        else:
            bell = sum(uniform(i, j, k) for k in range(6)) - 3.0
            x.append((center * (1 if j % 2 == 0 else -1) + width * bell) * (j + 1))
    return x


window = np.array([row(i) for i in range(2048)])
probes = np.array([row(i) for i in range(2048, 2048 + 500)])
scores = lambda trees, seed: -IsolationForest(
    n_estimators=trees, max_samples=256, random_state=seed
).fit(window).score_samples(probes)
print("probe,score_1000_trees,score_32_trees")
for i, (much, little) in enumerate(zip(scores(1000, 0), scores(32, 1))):
    print(f"{i},{much:.5f},{little:.5f}")
