"""Prequential quality and speed of River's logistic regression on a table of numbers, as a reference.

    pip install river==0.26.1 scikit-learn==1.9.1
    python tests/reference/logistic_regression.py elec2_full.csv.gz class --habitue target/release/habitue

Each row is scored, then learned, in the order of the file: what `habitue evaluate table` does. With `--habitue` that runs
in turn with River, `--rounds` times each, and the last lines set it beside River's best rate: the difference in AUC, and
the median and least ratio of rows a second within a round.
"""

import argparse
import csv
import gzip
import json
import statistics
import subprocess
import time

from river import linear_model, optim, preprocessing
from sklearn.metrics import log_loss, roc_auc_score

LEARNER = "logistic_regression"


def river(table, labels, rate):
    """AUC, log loss, rows a second."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(rate))
    scores = []
    began = time.perf_counter()
    for row, label in zip(table, labels):
        scores.append(model.predict_proba_one(row)[True])
        model.learn_one(row, label)
    took = time.perf_counter() - began
    return roc_auc_score(labels, scores), log_loss(labels, scores), len(table) / took


def habitue(binary, path, target):
    """The same of ours, which times scoring and learning alone, too."""
    command = [binary, "evaluate", "table", path, "--target", target, "--learner", LEARNER, "--json"]
    document = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    measured = document["learners"][LEARNER]
    return measured["auc"], measured["log_loss"], measured["events_per_second"]


parser = argparse.ArgumentParser()
parser.add_argument("path")
parser.add_argument("target")
parser.add_argument("rates", nargs="*", type=float, default=[0.05, 0.01, 0.005])
parser.add_argument("--habitue", metavar="BINARY")
parser.add_argument("--rounds", type=int, default=1)
asked = parser.parse_args()

with gzip.open(asked.path, "rt") as file:
    table = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
labels = [row.pop(asked.target) == 1 for row in table]

print("learner,AUC,log loss,rows a second")
aucs, ratios = [], []
for _ in range(asked.rounds):
    rivers = []
    for rate in asked.rates:
        rivers.append(river(table, labels, rate))
        auc, loss, speed = rivers[-1]
        print(f"River {rate},{auc:.4f},{loss:.4f},{speed:.0f}")
    if asked.habitue:
        auc, loss, speed = habitue(asked.habitue, asked.path, asked.target)
        print(f"{LEARNER},{auc:.4f},{loss:.4f},{speed:.0f}")
        aucs.append(auc - max(auc for auc, _, _ in rivers))
        ratios.append(speed / max(speed for _, _, speed in rivers))
if asked.habitue:
    print(f"AUC over River's best: {aucs[0]:+.4f}")
    print(f"speed over River's: median {statistics.median(ratios):.1f}, least {min(ratios):.1f}")
