#!/usr/bin/env bash
# Replaces the nodes of a real cluster on this machine one by one, as the stack does: an old node stops when
# the new one has reported that it is healthy. Nothing may be lost. Needs catena and catena-engine in
# target/debug.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PWD/target/debug:$PATH

work=$(mktemp -d)
declare -A pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$work"' EXIT
cluster=file://$work/record

fail() {
    printf 'test_update.sh: %s\n' "$*" >&2
    tail -n 20 "$work"/*.log >&2
    exit 1
}

# Starts a node, and sets `control` to its control port.
start() {
    catena-engine --listen 127.0.0.1:0 --control 127.0.0.1:0 --cores 0 --no-pin --shards 8 --node-name "$1" \
        --cluster "$cluster" --create --replicas 2 >"$work/$1" 2>"$work/$1.log" &
    pids[$1]=$!
    for _ in $(seq 300); do
        [[ ! -s $work/$1 ]] || break
        sleep 0.1
    done
    control=$(sed -n 's/.*, control \([0-9.:]*\).*/\1/p' "$work/$1")
    [[ -n $control ]] || fail "node $1 does not start"
}

stop() {
    kill "${pids[$1]}"
    wait "${pids[$1]}" || fail "node $1 does not stop in order"
    unset "pids[$1]"
}

await() { bash engine/deploy/await-healthy.sh "$cluster" "$1" "$2"; }

start a
# A node alone is a member, and yet its cluster is not healthy.
if reason=$(await "$control" 2 2>&1); then fail "a cluster without its second member is not healthy"; fi
[[ $reason == *"1 member is missing of 2 wanted"* ]] || fail "$reason"
start b
await "$control" 60
catena --engine "$cluster" counter visits add 41 >/dev/null
for pair in "a c" "b d"; do
    read -r old new <<<"$pair"
    start "$new"
    await "$control" 60
    stop "$old"
done
visits=$(catena --engine "$cluster" counter visits add 1)
[[ $visits == 42 ]] || fail "the counter has $visits after the update, not 42"
await "$control" 60
printf 'a cluster of two keeps its objects while both nodes are replaced\n'
