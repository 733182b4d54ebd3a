#!/usr/bin/env bash
# Waits until a node serves its cluster, as a member or as a spare, and the cluster has all its members,
# which are active and suspect no other. Nodes have it as catena-await-healthy.
#
#   catena-await-healthy CLUSTER CONTROL SECONDS
#
# CLUSTER is the location of the cluster's record or an address, CONTROL the control port of the node. Exits
# with 1 if the time is over.
set -euo pipefail

cluster=$1 control=$2 latest=$((SECONDS + $3))
while ((SECONDS < latest)); do
    left=$((latest - SECONDS))
    # `join` waits until the node is a member or a spare; its own state says nothing about the others.
    if reason=$(catena --engine "$cluster" --timeout "${left}s" cluster join "$control" 2>&1) &&
        reason=$(catena --engine "$cluster" cluster --control "$control" status 2>&1); then
        exit 0
    fi
    # The engine may still be starting.
    sleep 1
done
printf 'catena-await-healthy: not healthy after %s s: %s\n' "$3" "${reason:-no time}" >&2
exit 1
