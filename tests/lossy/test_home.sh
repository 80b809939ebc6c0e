#!/bin/sh
# A store arrives in a data folder, and the power fails, or a call, at each point of it. What a start
# finds is the old store, the old store and a finished arrival, or the new one; never less than was told,
# and it can go on from there. FULL=1 tries every point in each way.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
subject=$BUILDDIR/tests/lossy/home-subject restore=$BUILDDIR/tests/lossy/lossy-restore
step=11 failures=0 points=0
[ -z "${FULL:-}" ] || step=1

wrong() {
    echo "wrong: $*"
    failures=$((failures + 1))
}

mkdir "$folder/first"
"$subject" prepare "$folder/first" || { echo "prepare"; exit 1; }
rm -rf "$folder/first/sender"

start() {
    rm -rf "$folder/run" "$folder/image"
    cp -a "$folder/first" "$folder/run"
    "$restore" init "$folder/run/data" "$folder/image"
}
run() { # NAME=VALUE..
    status=0
    env LOSSY_SYNC_US=0 LOSSY_DIR="$folder/run/data" LOSSY_IMAGE="$folder/image" \
        LD_PRELOAD="$BUILDDIR/tests/lossy/liblossy.so" ASAN_OPTIONS=verify_asan_link_order=0 \
        "$@" "$subject" arrive "$folder/run" >"$folder/told" 2>&1 || status=$?
}
check() { # words for what was done
    points=$((points + 1))
    if "$subject" check "$folder/run" "$folder/told" >"$folder/found" 2>&1; then
        grep '^found: ' "$folder/found" >>"$folder/all"
    else
        wrong "$*: $(cat "$folder/found"); told: $(tr '\n' ' ' <"$folder/told")"
    fi
}

# The power fails in place of the nth call. keep: how much of what was not flushed is there, of 256.
power() { # first point, keep
    n=$1
    while :; do
        start
        run LOSSY_KILL_AFTER="$n"
        [ "$status" = 137 ] || break
        "$restore" crash --seed "$n" ${2:+--keep "$2"} "$folder/run/data" "$folder/image" >/dev/null ||
            wrong "restore at $n"
        check "power fails at $n, keep ${2:-drawn}"
        n=$((n + step))
    done
    [ "$status" = 0 ] || wrong "without a fault it ends with $status: $(cat "$folder/told")"
    [ "$n" -gt 100 ] || wrong "only $n calls were followed"
}
power 1 0
power 3 256
power 5 ""

# A call fails, once or from there on; the process ends, and the disk has what it has.
fails() { # first point, fault
    n=$1
    while :; do
        start
        run LOSSY_FAIL="$(echo "$2" | sed "s/N/$n/")"
        [ "$status" = 0 ] && break
        [ "$status" = 1 ] || wrong "$2 at $n: it ended with $status: $(cat "$folder/told")"
        check "$2 at $n"
        n=$((n + ${3:-$step}))
    done
}
fails 1 N+:ENOSPC:write
fails 2 N:ENOSPC:write
fails 1 N:EIO:sync 3
fails 1 N+:EIO:sync 3
fails 1 N:EIO:rename 1

for word in old arrived new; do
    grep -q "^found: $word" "$folder/all" || wrong "never found: $word"
done
sort "$folder/all" | uniq -c
[ "$failures" = 0 ] || { echo "$failures of $points points"; exit 1; }
