"""What the peers of k-means have in common: arguments, files, and the JSON of their replies.

A peer is a program with one `Fit`: a callable that does all iterations once, on points that are loaded, and tells how
long each took. `main` calls it once unmeasured, then as often as asked, and prints one line of JSON: medians over the
runs. With --serve the peer stays, says that it is ready, and does one run for each line of its standard input, so that
several peers can take turns.
"""

import argparse
import json
import statistics
import sys

# What a peer that is not installed exits with, after a line {"missing": …}.
MISSING = 3


def missing(what):
    """Ends the program because something is not installed."""
    print(json.dumps({"missing": what}), flush=True)
    sys.exit(MISSING)


def arguments(description, add=lambda parser: None):
    """The flags that all peers share, and those that `add` adds."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", required=True, help="points: an .npy file, one a row")
    parser.add_argument("--centroids", required=True, help="initial centroids, one a row: .npy or .csv")
    parser.add_argument("--iterations", type=int, default=10, help="updates of the centres; all of them are done")
    parser.add_argument("--workers", type=int, default=2, help="threads")
    parser.add_argument("--runs", type=int, default=3, help="measured runs, after one that is not")
    parser.add_argument("--serve", action="store_true", help="one run for each line of the standard input")
    add(parser)
    return parser.parse_args()


def read(numpy, parsed):
    """The points, not yet in memory, and the initial centroids in double precision."""
    points = numpy.load(parsed.data, mmap_mode="r")
    if parsed.centroids.endswith(".csv"):
        centroids = numpy.loadtxt(parsed.centroids, delimiter=",", ndmin=2)
    else:
        centroids = numpy.load(parsed.centroids).astype(numpy.float64)
    if points.ndim != 2 or centroids.ndim != 2 or points.shape[1] != centroids.shape[1]:
        sys.exit(f"expected points and centroids of equal length, got {points.shape} and {centroids.shape}")
    if not numpy.isfinite(centroids).all():
        sys.exit("a centroid is not finite")
    return points, centroids


def main(parsed, about, fit):
    """Runs `fit`, which returns (seconds of each iteration, cost of the final centres)."""
    _checked(parsed, fit())
    if parsed.serve:
        print(json.dumps({**about, "ready": True}), flush=True)
        for _ in sys.stdin:
            seconds, cost = _checked(parsed, fit())
            print(json.dumps(_answer(about, [seconds], [cost])), flush=True)
        return
    runs = [_checked(parsed, fit()) for _ in range(parsed.runs)]
    print(json.dumps(_answer(about, [seconds for seconds, _ in runs], [cost for _, cost in runs])))


def _checked(parsed, run):
    seconds, _ = run
    if len(seconds) != parsed.iterations:
        sys.exit(f"expected {parsed.iterations} iterations, got {len(seconds)}: choose overlapping clusters")
    return run


def _answer(about, seconds, costs):
    means = [statistics.fmean(run[about["skip"]:]) for run in seconds]
    return {
        **about,
        "seconds_per_iteration": statistics.median(means),
        "seconds_per_iteration_of_runs": means,
        "seconds_iterations": seconds[-1],
        "cost": statistics.median(costs),
    }
