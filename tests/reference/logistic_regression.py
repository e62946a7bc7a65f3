"""Prequential quality and speed of River's logistic regression on a table of numbers, as a reference.

    pip install river==0.26.1 scikit-learn==1.9.1
    python tests/reference/logistic_regression.py elec2_full.csv.gz class [LEARNING_RATE ...]

Each row is scored, then learned, in the order of the file: what `habitue evaluate table` does.
"""

import csv
import gzip
import sys
import time

from river import linear_model, optim, preprocessing
from sklearn.metrics import log_loss, roc_auc_score

path, target = sys.argv[1:3]
rates = [float(rate) for rate in sys.argv[3:]] or [0.05, 0.01, 0.005]

with gzip.open(path, "rt") as file:
    table = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
labels = [row.pop(target) == 1 for row in table]

print("learning rate,AUC,log loss,rows a second")
for rate in rates:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(rate))
    scores = []
    began = time.perf_counter()
    for row, label in zip(table, labels):
        scores.append(model.predict_proba_one(row)[True])
        model.learn_one(row, label)
    took = time.perf_counter() - began
    print(f"{rate},{roc_auc_score(labels, scores):.4f},{log_loss(labels, scores):.4f},{len(table) / took:.0f}")
