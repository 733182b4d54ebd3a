#!/usr/bin/env python3
"""Compares --batch-size with MiniBatchKMeans of scikit-learn: same points, clusters, batches and rounds.

    pip install scikit-learn==1.9.1 numpy
    cargo build --release -p catena-kmeans
    python3 kmeans/tests/compare_batches.py target/release/catena-kmeans

Prints the costs of the digits for 20 seeds each, from the lowest to the highest. The seeds of the two
programs have nothing to do with each other, so only their distributions can be compared. The bound of the
test `costs_of_batches_are_those_of_scikit_learn` is from here.
"""

import gzip
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy
import sklearn
from sklearn.cluster import MiniBatchKMeans

K, BATCH, ROUNDS, SEEDS = 10, 256, 100, range(20)


def main():
    program = sys.argv[1]
    digits = Path(__file__).parent.parent / "data" / "digits.csv.gz"
    with gzip.open(digits, "rt") as lines:
        points = numpy.loadtxt(lines, delimiter=",", skiprows=1)
    epochs = -(-ROUNDS * BATCH // len(points))
    theirs, ours = [], []
    warnings.simplefilter("ignore")
    for seed in SEEDS:
        model = MiniBatchKMeans(
            K, batch_size=BATCH, max_iter=epochs, n_init=1, max_no_improvement=None, random_state=seed,
        )
        theirs.append(model.fit(points).inertia_)
        flags = ["--k", K, "--batch-size", BATCH, "--iterations", ROUNDS, "--seed", seed]
        run = subprocess.run([program, "run", "--json", *map(str, flags)], capture_output=True, check=True)
        ours.append(json.loads(run.stdout)["cost"])
    for name, costs in [(f"scikit-learn {sklearn.__version__}", theirs), ("catena-kmeans", ours)]:
        costs = sorted(costs)
        print(f"{name}: {costs[0]:.0f} to {costs[-1]:.0f}, median {numpy.median(costs):.0f}")


if __name__ == "__main__":
    main()
