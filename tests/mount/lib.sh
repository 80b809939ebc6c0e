# What every test through a real mount begins with. Sourced first:
#
#     . "$(dirname "$0")/lib.sh"
#
# It gives the test a folder of its own, $work, with $mnt mounted from the data in $data, and takes all
# of that away at the end, however it ends. A test that cannot run here (no /dev/fuse, not root) is
# skipped, or fails where CI=true. FULL=1 asks for the long forms.
#
#   start_mount OPTION..    mounts $mnt, in the foreground of a background job; $daemon is its pid
#   stop_mount              unmounts, and wants the daemon to end with status 0
#   kill_mount              kill -9
#   wrong TEXT              notes a failure and goes on;  die TEXT ends the test
#   same A B [TEXT]         two folders hold the same: names, types, modes, owners, times, links, bytes
#   is WANTED GOT TEXT      two words are equal
#   silent TEXT COMMAND..   the command succeeds and says nothing; not "is '' $(command)", which holds
#                           when the command fails
#   refuses ERRNO COMMAND.. the command fails with that error in its message
#   compiled NAME           the path of tests/mount/NAME
#   revision                the mount's revision
#   status_of WORD          the number behind that word in the mount's status
#   figure TEXT             a line that "make mount-full" repeats
#   optional COMMAND        whether it is there; in CI it must be
#
# The test ends with "finish", which fails if anything was wrong.
set -eu
umask 022
LC_ALL=C
export LC_ALL

: "${SRCDIR:=$(cd "$(dirname "$0")/../.." && pwd)}" "${BUILDDIR:=$PWD}" "${FULL:=}" "${CI:=}"
program=${CONCORDFS:-$BUILDDIR/concordfs}
test_name=$(basename "$0" .sh)
failures=0
daemon=

has_tsan() { grep -q __tsan_init "$program"; }  # several times slower, and several times larger

if [ -z "${MOUNT_TEST_LIMITED-}" ]; then    # a test that hangs ends, and its mount goes away
    MOUNT_TEST_LIMITED=1
    export MOUNT_TEST_LIMITED SRCDIR BUILDDIR FULL CI
    limit=300
    ! has_tsan || limit=800
    [ -z "$FULL" ] || limit=3600
    exec timeout -k 20 "${MOUNT_TEST_SECONDS:-$limit}" "${SHELL_OF_TEST:-/bin/sh}" "$0" "$@"
fi

say() { printf '%s\n' "$*"; }
figure() { say "figure: $*"; }
wrong() {
    say "wrong: $*"
    failures=$((failures + 1))
}
die() {
    say "wrong: $*"
    exit 1
}
skip() {
    [ "$CI" != true ] || die "cannot run here, and CI wants it to: $*"
    say "skipped: $*"
    exit 77
}
optional() {
    ! command -v "$1" >/dev/null 2>&1 || return 0
    [ "$CI" != true ] || wrong "there is no $1"
    say "without $1, which is not there"
    return 1
}
need_command() {
    for command in "$@"; do
        command -v "$command" >/dev/null 2>&1 || skip "there is no $command"
    done
}

[ -c /dev/fuse ] || skip "there is no /dev/fuse"
[ "$(id -u)" = 0 ] || skip "must be root"
[ -x "$program" ] || die "there is no $program"

# Not below the source folder: git and find would look upwards.
work=$(mktemp -d "${TMPDIR:-/tmp}/concordfs-mount-XXXXXX")
data=$work/data
mnt=$work/mnt
log=$work/log
: >"$log"
mkdir "$data" "$mnt"
trap 'clean_up $?' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

clean_up() {
    status=$1
    trap - EXIT TERM INT
    set +e
    cd /
    umount -l "$mnt" 2>/dev/null
    [ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null
    # What the daemon wrote is shown where something went wrong, and a sanitizer's report is wrong.
    if grep -qE 'Sanitizer|runtime error|check failed' "$log"; then
        say "wrong: the daemon reported a mistake of its own"
        status=1
    fi
    if [ "$status" != 0 ] && [ "$status" != 77 ]; then
        say "--- the daemon said:"
        tail -n "${LOG_LINES:-60}" "$log"
    fi
    if [ -n "${KEEP-}" ]; then
        say "kept: $work"
    else
        rm -rf "$work"
    fi
    exit "$status"
}

finish() {
    [ -z "$daemon" ] || stop_mount
    [ "$failures" = 0 ] || die "$failures failures"
    exit 0
}

is_mounted() { awk -v at="$mnt" '$5 == at { found = 1 } END { exit !found }' /proc/self/mountinfo; }

# MOUNT_ENV: words NAME=VALUE for the daemon alone.
start_mount() {
    # shellcheck disable=SC2086
    env ${MOUNT_ENV-} "$program" mount -f --data "$data" "$@" "$mnt" >>"$log" 2>&1 &
    daemon=$!
    tries=0
    # A mount whose daemon was killed is still in the table, and stat may be answered from what the kernel
    # remembers: only one that answers an open counts.
    until is_mounted && cat "$mnt/.fs/revision" >/dev/null 2>&1; do
        kill -0 "$daemon" 2>/dev/null || {
            status=0
            wait "$daemon" || status=$?
            daemon=
            die "the mount ended with status $status: $(tail -n 3 "$log")"
        }
        tries=$((tries + 1))
        [ "$tries" -lt 1500 ] || die "the mount does not serve"
        sleep 0.02
    done
}

stop_mount() {
    cd /
    status=0
    "$program" umount "$mnt" || wrong "umount ended with status $?"
    wait "$daemon" || status=$?
    daemon=
    [ "$status" = 0 ] || wrong "the daemon ended with status $status"
    ! is_mounted || die "still mounted"
}

kill_mount() {
    kill -9 "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    daemon=
}

compiled() { printf '%s\n' "$BUILDDIR/tests/mount/$1"; }
revision() { cat "$mnt/.fs/revision"; }
status_of() { awk -v word="$1:" '$1 == word { print $2; found = 1 } END { exit !found }' "$mnt/.fs/status"; }

# One line for each name below a folder; sizes of folders are each filesystem's own affair.
describe() {
    (cd "$1" && find . -mindepth 1 \( -type d -printf '%P d %m %U %G %T@\n' \
        -o -type f -printf '%P f %m %U %G %T@ %s\n' \
        -o -printf '%P %y %m %U %G %T@ %l\n' \) | sort)
}
same() {
    describe "$1" >"$work/describe.1"
    describe "$2" >"$work/describe.2"
    diff "$work/describe.1" "$work/describe.2" >"$work/describe.diff" ||
        wrong "${3-$1 and $2} differ: $(head -n 6 "$work/describe.diff")"
    diff -r --no-dereference "$1" "$2" >"$work/describe.diff" 2>&1 ||
        wrong "${3-$1 and $2} differ in content: $(head -n 6 "$work/describe.diff")"
}
is() { [ "$1" = "$2" ] || wrong "$3: wanted \"$1\", got \"$2\""; }

silent() {
    about=$1
    shift
    "$@" >"$work/silent" 2>&1 || wrong "$about: status $? of: $*"
    [ ! -s "$work/silent" ] || wrong "$about: $(head -n 4 "$work/silent")"
}

refuses() {
    want=$1
    shift
    if "$@" >"$work/refuses" 2>&1; then
        wrong "succeeded: $*"
    else
        grep -qi "$want" "$work/refuses" || wrong "$*: wanted \"$want\": $(head -n 2 "$work/refuses")"
    fi
}
