#!/usr/bin/env bash
# Makes one full run of the benchmarks: everything is saved as JSON in benches/results, and the tables
# for BENCHMARKS.md are printed in the end. It takes about 40 minutes on a machine that does nothing
# else.
#
#   benches/peers/prepare.sh          before, once
#   benches/full-run.sh               everything but k-means beside Spark
#   benches/full-run.sh peers client  only these
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release -p catena-bench
bench=target/release/catena-bench
results=benches/results
mkdir -p "$results"

runs=("$@")
if [[ ${#runs[@]} -eq 0 ]]; then
    runs=(peers client objects chain chain-spread limits latency multi-core sync ops stalls memory join figures)
fi

saved=()
for run in "${runs[@]}"; do
    case $run in
        peers) arguments=(peers --seconds 4 --rounds 15) ;;
        client) arguments=(client --seconds 2 --rounds 9) ;;
        objects) arguments=(objects --seconds 3 --rounds 9) ;;
        chain) arguments=(chain --seconds 2 --rounds 9) ;;
        chain-spread) arguments=(chain --spread --seconds 2 --rounds 9) ;;
        limits) arguments=(limits --seconds 2 --rounds 9) ;;
        latency) arguments=(latency --seconds 2 --rounds 9) ;;
        multi-core) arguments=(multi-core --seconds 2 --rounds 9) ;;
        sync) arguments=(sync --seconds 0.5 --rounds 5) ;;
        ops) arguments=(ops --seconds 1 --rounds 5) ;;
        stalls) arguments=(stalls) ;;
        join) arguments=(join) ;;
        memory) arguments=(memory) ;;
        figures) arguments=(figures --seconds 1 --rounds 5 --beside) ;;
        *)
            echo "there is no run \`$run\`" >&2
            exit 2
            ;;
    esac
    file=$results/$run.json
    echo "$bench ${arguments[*]}" >&2
    "$bench" "${arguments[@]}" --json "$file" >/dev/null
    saved+=("$file")
done

"$bench" report --markdown "${saved[@]}"
