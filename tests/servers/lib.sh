# What the scripts in this folder share: where things are kept, and how to say that something is missing. Sourced, never run.
# shellcheck shell=bash disable=SC2034
FIXTURE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$FIXTURE/../.." && pwd)
# Roots and certificates are kept here between runs; `rm -rf` of it is always safe, nothing stays mounted in it.
CACHE=${EPODE_CACHE:-$REPO/target}
DEBIAN13=${EPODE_DEBIAN13:-$CACHE/debian13}
DEBIAN12=${EPODE_DEBIAN12:-$CACHE/debian12}
DEBIAN13_SWIFT=${EPODE_DEBIAN13_SWIFT:-$CACHE/debian13-swift}
PKI=${EPODE_PKI:-$CACHE/pki}

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "must run as root: it builds Debian roots, mounts inside a private namespace and changes to the servers' users." \
        "In a container, root with CAP_SYS_ADMIN is enough. To do without: tests/run --skip LANE"
}

# need_packages PACKAGE...: installs what is missing, and fetches the package lists first where there are none.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install: ${missing[*]} (this script only knows apt)"
    [ "$(id -u)" = 0 ] || die "must run as root to install: ${missing[*]}"
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Lists that are absent or out of date show as a failed install: fetch them, then try once more.
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 && return 0
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
