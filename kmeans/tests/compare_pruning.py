"""Runs the same job with and without pruning, interleaved, and compares times of iterations and bits.

    cargo build --release -p catena-kmeans
    target/release/catena-kmeans generate --points 500000 --dims 8 --clusters 256 --spread 0.3 \\
        --seed 1 --out points.npy
    python3 kmeans/tests/compare_pruning.py target/release/catena-kmeans 5 \\
        --data points.npy --k 256 --iterations 30

Prints, for each kind of pruning, the median over all turns of its time relative to the run without
pruning of the same turn.
"""

import json
import statistics
import subprocess
import sys

KINDS = ["none", "hamerly", "auto"]

program, turns, *arguments = sys.argv[1:]
seconds = {kind: [] for kind in KINDS}
results = set()
for turn in range(int(turns)):
    first = turn % len(KINDS)
    for kind in KINDS[first:] + KINDS[:first]:
        command = [program, "run", "--json", "--pruning", kind, *arguments]
        run = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        seconds[kind].append(sum(run["seconds_iterations"]))
        results.add(json.dumps([run["centroids"], run["cost"], run["iterations"]]))
assert len(results) == 1, "pruning changes no bit"
for kind in KINDS[1:]:
    ratios = [pruned / plain for pruned, plain in zip(seconds[kind], seconds["none"])]
    print(f"{kind}: {statistics.median(ratios):.2f} of none ({min(ratios):.2f} to {max(ratios):.2f})")
