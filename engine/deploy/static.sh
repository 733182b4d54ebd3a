#!/usr/bin/env bash
# Builds catena-engine and catena as static programs for any Linux on x86-64, with all that clusters in S3
# need, and puts them into a folder. Needs rustup, and a C compiler for musl (Debian: musl-tools).
#
#   bash engine/deploy/static.sh FOLDER
set -euo pipefail
folder=${1:?pass a folder for the programs}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

triple=x86_64-unknown-linux-musl
command -v musl-gcc >/dev/null || {
    echo "static.sh: musl-gcc is missing: apt-get install musl-tools" >&2
    exit 1
}
rustup target add "$triple"
cargo build --release --locked --target "$triple" -p catena-engine --bin catena-engine -p catena-client --bin catena \
    --features catena-engine/s3,catena-client/s3,catena-client/cli
for program in catena-engine catena; do
    built=${CARGO_TARGET_DIR:-target}/$triple/release/$program
    # A program that needs a loader is not static.
    if readelf --program-headers "$built" | grep -q INTERP; then
        echo "static.sh: $built is not static" >&2
        exit 1
    fi
    install -m 755 "$built" "$folder/$program"
    strip "$folder/$program"
done
