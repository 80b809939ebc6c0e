#!/bin/sh
# A listing of many names, while others come and go: every name that stayed is listed exactly once, and
# the daemon's memory does not grow with their number.
. "$(dirname "$0")/lib.sh"
count=5000
[ -z "$FULL" ] || count=100000
start_mount
mkdir "$mnt/many"
"$(compiled listing)" "$mnt/many" "$count" >"$work/out" 2>&1 || wrong "$(tail -n 5 "$work/out")"
is "$count" "$(ls -f "$mnt/many" | grep -c '^stays-[0-9]*$')" "names by ls"
is "$count" "$(find "$mnt/many" | grep '/stays-[0-9]*$' | sort -u | wc -l)" "names by find"

most=4096
# ThreadSanitizer keeps four bytes about each one that is used, AddressSanitizer what was freed.
! has_tsan || most=$((5 * most))
! grep -q __asan_init "$program" || most=$((256 * 1024))
# Until it does nothing of its own: what a start found in the log becomes tables by and by.
cpu() { awk '{ print $14 + $15 }' "/proc/$daemon/stat"; }
settle() {
    until before=$(cpu) && sleep 0.5 && [ "$before" = "$(cpu)" ]; do :; done
}
# The most that was resident while a command ran, above what was before it. KiB.
resident() { awk -v word="$1:" '$1 == word { print $2; found = 1 } END { exit !found }' "/proc/$daemon/status"; }
grows() { # TEXT COMMAND..
    about=$1
    shift
    settle
    echo 5 >"/proc/$daemon/clear_refs"
    start=$(resident VmRSS)
    "$@" >"$work/names"
    is "$count" "$(grep -c '^stays-[0-9]*$' "$work/names")" "names by $1, $about"
    grown=$(($(resident VmHWM) - start))
    figure "$1 of $count names, $about: the daemon grew by $grown KiB (from $start)"
    [ "$grown" -lt "$most" ] || wrong "$1 of $count names, $about: the daemon grew by $grown KiB"
}
grows "by the one who made them" ls "$mnt/many"
grows "again" ls -f "$mnt/many"
kill_mount
start_mount
grows "after a kill" ls "$mnt/many"
stop_mount
start_mount
grows "after a restart" ls "$mnt/many"
rm -r "$mnt/many"
[ ! -e "$mnt/many" ] || wrong "rm -r"
finish
