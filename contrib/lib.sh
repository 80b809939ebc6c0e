# What contrib/run and contrib/check share. Sourced, never run.
#
#   top            the source folder
#   say TEXT       one line of progress
#   die TEXT       one line on stderr, exit 1
#   need PACKAGE.. installs the Debian packages that are missing, and nothing when none is
#   build FOLDER FLAG..  autoreconf, configure (once) and make, out of tree, in FOLDER

set -eu
top=$(cd "$(dirname "$0")/.." && pwd)

build_packages="autoconf automake make gcc libc6-dev pkg-config libfuse3-dev fuse3 libuv1-dev
 libleveldb-dev libprotobuf-c-dev protobuf-c-compiler libcmocka-dev"
test_packages="clang rsync git vim-tiny attr strace e2fsprogs python3 procps iproute2 dnsmasq-base
 bind9-dnsutils"

say() { printf '%s\n' "== $*"; }

die() {
    printf '%s\n' "${0##*/}: $*" >&2
    exit 1
}

# Commands that change the system run as root, by sudo where the caller is someone else.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        die "must be root, or have sudo, to run: $*"
    fi
}

is_installed() {
    dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

need() {
    if ! command -v dpkg-query >/dev/null 2>&1; then
        say "not a Debian system; these packages, or what they are called here, must be there: $*"
        return 0
    fi
    missing=
    for package in "$@"; do
        is_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "installing$missing"
    as_root apt-get -qq update || say "the package lists could not be updated; trying with the old ones"
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Dpkg::Use-Pty=0 install $missing >/dev/null || die "could not install:$missing"
}

jobs() { nproc 2>/dev/null || echo 2; }

build() {
    folder=$1
    shift
    say "preparing the build in $folder"
    mkdir -p "$folder"
    ( cd "$top" && autoreconf -i >"$folder/autoreconf.out" 2>&1 ) || {
        cat "$folder/autoreconf.out" >&2
        die "autoreconf failed"
    }
    cd "$folder"
    if [ ! -f Makefile ]; then
        "$top/configure" "$@" >configure.out 2>&1 || {
            tail -n 20 configure.out >&2
            die "configure failed; all it said is in $folder/configure.out"
        }
    fi
    say "building"
    make -s -j"$(jobs)" all || die "the build failed"
}
