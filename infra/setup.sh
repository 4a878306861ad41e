#!/bin/sh
# Installs the Debian packages that a purpose needs, and only those that are missing.
#
#   infra/setup.sh demo|production|test|bare...
#
# Nothing is asked and nothing is fetched when all of them are there: that costs one dpkg-query. Debian starts some of these servers once they
# are installed; ours are others, on ports and in folders of their own, and those are neither used nor ended.
set -eu

# One line a purpose. `production` builds on `demo`, `test` on both.
demo="bubblewrap espeak-ng ffmpeg fonts-noto-cjk python3-venv"
production="ceph-common ceph-mon ceph-osd nginx-light postgresql rabbitmq-server radosgw"
test="chromium libfaketime"
bare="ca-certificates debootstrap git"

if [ $# -eq 0 ]; then
    echo "usage: infra/setup.sh demo|production|test|bare..." >&2
    exit 2
fi

wanted=""
for purpose in "$@"; do
    case $purpose in
        demo) wanted="$wanted $demo" ;;
        production) wanted="$wanted $demo $production" ;;
        test) wanted="$wanted $demo $production $test" ;;
        bare) wanted="$wanted $bare" ;;
        *) echo "infra/setup.sh: no such purpose: $purpose (demo, production, test or bare)" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query >/dev/null; then
    echo "infra/setup.sh: this is not Debian; install what these Debian packages hold, then go on:$wanted" >&2
    exit 0
fi

# Two of us at once (make -j) would fight over apt's locks; the second waits, then finds nothing missing.
exec 9<"$0"
flock 9

missing=""
for package in $wanted; do
    # shellcheck disable=SC2016 # ${…} is dpkg-query's own
    case $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true) in
        installed) ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "infra/setup.sh: as root, run: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    as_root="sudo"
fi

echo "Installing Debian packages:$missing"
$as_root apt-get -qq update
# shellcheck disable=SC2086 # a list of names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends $missing >/dev/null
