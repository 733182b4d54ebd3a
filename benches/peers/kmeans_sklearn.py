#!/usr/bin/env python3
"""k-means by scikit-learn, on given points from given centroids, timed by the iteration.

    pip install scikit-learn==1.9.1 numpy
    python3 kmeans_sklearn.py --data points.npy --centroids centroids.npy --workers 2

An iteration is what lies between two calls of scikit-learn's own Lloyd step, checks between them included; checking,
copying and centring the points before the first one are not in it, nor is the last assignment.
"""

import os
import sys
import time

import kmeans_peer


def main():
    parsed = kmeans_peer.arguments(__doc__.splitlines()[0])
    # Before numpy is loaded. What some environments set for older OpenBLAS builds slows current ones down.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.environ["OMP_NUM_THREADS"] = str(parsed.workers)
    try:
        import numpy
        import sklearn
        import threadpoolctl
        from sklearn.cluster import KMeans, _kmeans
    except ImportError as error:
        kmeans_peer.missing(f"{error.name}: pip install scikit-learn==1.9.1 numpy")
    if not hasattr(_kmeans, "lloyd_iter_chunked_dense"):
        sys.exit(f"scikit-learn {sklearn.__version__} has another Lloyd step than 1.9.1, which this knows how to time")

    points, centroids = kmeans_peer.read(numpy, parsed)
    points = numpy.array(points)

    starts = []
    step = _kmeans.lloyd_iter_chunked_dense

    def timed(*arguments, **named):
        starts.append(time.perf_counter())
        return step(*arguments, **named)

    _kmeans.lloyd_iter_chunked_dense = timed

    def fit():
        starts.clear()
        model = KMeans(
            len(centroids), init=centroids, n_init=1, algorithm="lloyd", max_iter=parsed.iterations, tol=0,
        ).fit(points)
        # The last call only assigns points to the final centres.
        return [after - before for before, after in zip(starts, starts[1:])], float(model.inertia_)

    blas = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    about = {
        "peer": "scikit-learn",
        "version": f"scikit-learn {sklearn.__version__}",
        "workers": parsed.workers,
        "precision": str(points.dtype),
        "blas": ", ".join(sorted({f"{p['internal_api']} {p['version']} {p.get('architecture', '')}" for p in blas})),
        "skip": 0,
    }
    kmeans_peer.main(parsed, about, fit)


if __name__ == "__main__":
    main()
