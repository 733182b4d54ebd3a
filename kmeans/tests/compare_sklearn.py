#!/usr/bin/env python3
"""Compares catena-kmeans with scikit-learn: same points and initial centres, interleaved runs, medians.

    pip install scikit-learn==1.9.1 numpy
    cargo run --release -p catena-kmeans -- generate --points 500000 --dims 100 --clusters 25 \\
        --spread 12 --out points.npy
    python3 kmeans/tests/compare_sklearn.py target/release/catena-kmeans points.npy --k 25

Both have to do the given number of iterations and to come to the same cost; choose overlapping
clusters, because a program that stops early is an error. Times include initialisation (the first k
rows) and the final labels; that of catena-kmeans also includes reading the file.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("data")
    parser.add_argument("--k", type=int, default=25)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--backend", default="threads")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()

    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.environ["OMP_NUM_THREADS"] = str(arguments.workers)
    import numpy
    import sklearn
    from sklearn.cluster import KMeans

    points = numpy.load(arguments.data)
    ours, theirs, each = [], [], []
    for run in range(arguments.runs):
        start = time.perf_counter()
        model = KMeans(
            arguments.k, init=points[: arguments.k], n_init=1, algorithm="lloyd", max_iter=arguments.iterations, tol=0,
        ).fit(points)
        theirs.append(time.perf_counter() - start)
        command = [
            arguments.program, "run", "--data", arguments.data, "--k", str(arguments.k), "--init", "first",
            "--iterations", str(arguments.iterations), "--workers", str(arguments.workers),
            "--backend", arguments.backend, "--json",
        ]
        result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        ours.append(result["seconds_total"])
        each.extend(result["seconds_iterations"])
        if model.n_iter_ != arguments.iterations or result["iterations"] != arguments.iterations:
            sys.exit(f"stopped early: {model.n_iter_} and {result['iterations']} iterations")
        difference = abs(model.inertia_ - result["cost"]) / model.inertia_
        if difference > 1e-4:
            sys.exit(f"costs differ: {model.inertia_} and {result['cost']}")
    print(f"scikit-learn {sklearn.__version__}: {statistics.median(theirs):.3f} s for {arguments.iterations} iterations")
    print(
        f"catena-kmeans: {statistics.median(ours):.3f} s with reading the file, "
        f"{statistics.median(each) * 1e3:.1f} ms an iteration; relative difference of cost {difference:.1e}"
    )


if __name__ == "__main__":
    main()
