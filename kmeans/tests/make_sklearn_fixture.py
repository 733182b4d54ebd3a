#!/usr/bin/env python3
"""Writes sklearn.json: results of scikit-learn's Lloyd on real data, from the first k rows as centres.

    pip install scikit-learn==1.9.1 numpy
    python3 kmeans/tests/make_sklearn_fixture.py kmeans/tests/sklearn.json

The data sets come with scikit-learn. digits is also shipped with catena-kmeans; the others are small
enough for the fixture. Points halfway between two initial centres count as ties: scikit-learn lets
rounding decide, catena-kmeans takes the first centre, so that later digits of the results may differ.
There is no case with an empty cluster, because the two programs move such clusters to different
points.
"""

import json
import sys

import numpy
import sklearn
from sklearn import datasets
from sklearn.cluster import KMeans


def case(name, points, k, iterations, with_points):
    points = numpy.asarray(points, dtype=numpy.float64)
    model = KMeans(k, init=points[:k], n_init=1, algorithm="lloyd", max_iter=iterations, tol=0).fit(points)
    nearest = numpy.sort(((points[:, None] - points[None, :k]) ** 2).sum(axis=2), axis=1)
    result = {
        "name": name, "k": k, "max_iterations": iterations, "iterations": model.n_iter_, "cost": model.inertia_,
        "ties": int((nearest[:, 0] == nearest[:, 1]).sum()),
        "counts": numpy.bincount(model.labels_, minlength=k).tolist(),
    }
    if with_points:
        result["points"] = points.tolist()
    return result


def main():
    digits, iris, wine = (load().data for load in (datasets.load_digits, datasets.load_iris, datasets.load_wine))
    fixture = {
        "made_by": f"kmeans/tests/make_sklearn_fixture.py, scikit-learn {sklearn.__version__}",
        "cases": [
            case("digits", digits, 5, 300, False),
            case("digits", digits, 10, 300, False),
            case("digits", digits, 37, 300, False),
            case("digits", digits, 7, 4, False),
            case("iris", iris, 3, 300, True),
            case("iris far from the origin", iris + 1000, 7, 300, True),
            case("wine", wine, 4, 300, True),
            case("wine", wine, 9, 3, True),
        ],
    }
    with open(sys.argv[1], "w") as out:
        json.dump(fixture, out)
        out.write("\n")


if __name__ == "__main__":
    main()
