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
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import MinMaxScaler, StandardScaler, normalize


SCALERS = {"none": lambda points: points, "standard": StandardScaler().fit_transform, "minmax": MinMaxScaler().fit_transform}


def case(name, points, k, iterations, with_points, weights=None, scale="none", distance="euclidean"):
    given = numpy.asarray(points, dtype=numpy.float64)
    points = SCALERS[scale](given)
    if distance == "cosine":
        points = normalize(points)
    model = KMeans(k, init=points[:k], n_init=1, algorithm="lloyd", max_iter=iterations, tol=0)
    model.fit(points, sample_weight=weights)
    nearest = numpy.sort(((points[:, None] - points[None, :k]) ** 2).sum(axis=2), axis=1)
    result = {
        "name": name, "k": k, "max_iterations": iterations, "iterations": model.n_iter_, "cost": model.inertia_,
        "ties": int((nearest[:, 0] == nearest[:, 1]).sum()),
        "counts": numpy.bincount(model.labels_, minlength=k).tolist(), "scale": scale, "distance": distance,
        "silhouette": silhouette_score(points, model.labels_),
    }
    if with_points:
        result["points"] = given.tolist()
    if weights is not None:
        result["weights"] = list(weights)
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
            case("iris with weights", iris, 3, 300, True, weights=[(i * 7 % 11) / 4 for i in range(len(iris))]),
            case("iris with large weights", iris, 3, 300, True, weights=[1e9 + i * 1e7 for i in range(len(iris))]),
            case("wine, standard", wine, 3, 300, True, scale="standard"),
            case("wine, minmax", wine, 4, 300, True, scale="minmax"),
            case("wine, cosine", wine, 3, 300, True, distance="cosine"),
            case("wine, standard and cosine", wine, 3, 300, True, scale="standard", distance="cosine"),
        ],
    }
    with open(sys.argv[1], "w") as out:
        json.dump(fixture, out)
        out.write("\n")


if __name__ == "__main__":
    main()
