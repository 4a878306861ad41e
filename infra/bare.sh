#!/bin/bash
# Proves the demonstration on a machine that has nothing: a bare Debian 12 folder, a clone of the committed tree, `make demo DEMO=--check`.
#
#   infra/bare.sh            as root; about ten minutes the first time, less after that
#   BARE_MIRROR=URL          where Debian comes from, if the host's own apt sources do not say
#
# The folder gets what belongs to the network and not to the machine: the host's Debian sources, certificates, resolver and proxies, and
# where pip and npm are told to look. bare/base is kept from run to run; bare/root is made anew. Mounts and processes live in namespaces of
# their own, so that nothing is left behind however this ends.
#
# Not proven here: the media jail's mount namespace. Inside a chroot none can be made; the jail falls back, and /healthz says to what.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bare="$here/bare"
base="$bare/base"
root="$bare/root"
bundle=/etc/ssl/certs/ca-certificates.crt

if [ "$(id -u)" -ne 0 ]; then
    exec sudo --preserve-env "$0" "$@"
fi

# The host's sources for Debian itself; what else the host installs from is no part of a bare machine.
sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if [ -f "$file" ] && grep -Eq '^(deb |Suites:).*\bbookworm\b' "$file"; then
            if [ "$file" = /etc/apt/sources.list ] || grep -q debian-archive-keyring "$file"; then
                echo "$file"
            fi
        fi
    done
}

mirror() {
    local file
    while read -r file; do
        awk '/^deb .* bookworm main/ { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) { print $i; exit } }
             /^URIs:/ { uri = $2 } /^Suites:.*bookworm( |$)/ && uri { print uri; exit }' "$file"
    done < <(sources) | head -n 1
}

make_base() {
    local staging="$base.new" from="${BARE_MIRROR:-$(mirror)}"
    rm -rf "$staging"
    mkdir -p "$bare"
    # shellcheck disable=SC2086 # no mirror means no argument
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,git,make,curl bookworm "$staging" $from >"$bare/debootstrap.log" 2>&1 ||
        { tail -n 20 "$bare/debootstrap.log" >&2; exit 1; }
    rm -rf "$base"
    mv "$staging" "$base"
}

make_root() {
    local file
    rm -rf "$root"
    cp -a --reflink=auto "$base" "$root"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    if [ -n "$(sources)" ]; then
        rm -f "$root/etc/apt/sources.list"
        while read -r file; do
            cp "$file" "$root${file}"
        done < <(sources)
    fi
    for file in /etc/apt/apt.conf.d/*; do
        if grep -q '^Acquire::' "$file"; then
            cp "$file" "$root/etc/apt/apt.conf.d/"
        fi
    done
    cp -L "$bundle" "$root$bundle"
    git clone --quiet --no-local "$here" "$root/root/liuhen"
}

# The environment inside: nothing of the host's but how to reach the network.
inside() {
    local name value
    printf '%s\0' HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb
    for name in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO; do
        printf '%s\0' "$name=$bundle"
    done
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL NPM_CONFIG_REGISTRY npm_config_registry; do
        if [ -n "${!name:-}" ]; then
            printf '%s\0' "$name=${!name}"
        fi
    done
    if [ -z "${PIP_INDEX_URL:-}" ] && value="$(python3 -m pip config get global.index-url 2>/dev/null)"; then
        printf '%s\0' "PIP_INDEX_URL=$value"
    fi
}

started=$SECONDS
if [ ! -d "$base" ]; then
    echo "bare: making a bare Debian 12"
    make_base
fi
make_root
echo "bare: running the demonstration of $(git -C "$root/root/liuhen" log -1 --format='%h %s') in it"

mapfile -d '' -t environment < <(inside)
status=0
unshare --mount --pid --fork --kill-child bash -euc '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs tmpfs "$1/tmp"
    shift
    exec "$@"
' bare "$root" chroot "$root" env --ignore-environment "${environment[@]}" make --no-print-directory -C /root/liuhen demo DEMO=--check </dev/null ||
    status=$?

if [ "$status" -eq 0 ]; then
    echo "bare: passed in $((SECONDS - started)) s"
    rm -rf "$root"
else
    echo "bare: failed with $status; the folder is left at $root" >&2
fi
exit "$status"
