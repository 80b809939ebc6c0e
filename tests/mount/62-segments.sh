#!/bin/sh
# The log's segments are written with zeros before their first use and come round again: no extent is
# unwritten, and many segments of log (1 GiB with FULL=1) need few files.
. "$(dirname "$0")/lib.sh"
rounds=60
[ -z "$FULL" ] || rounds=160
need_command filefrag fallocate
fallocate -l 1M "$work/probe" && filefrag -v "$work/probe" 2>&1 | grep -q unwritten ||
    skip "extents cannot be looked at here"
start_mount

inodes() { ls -i "$data/wal" | awk '{ print $1 }' | sort -n; }

unwritten() {
    for segment in "$data"/wal/*; do
        case $segment in *.tmp) continue ;; esac    # being written
        if filefrag -v "$segment" >"$work/extents" 2>&1; then
            ! grep -q unwritten "$work/extents" || echo "$segment"
        elif [ -e "$segment" ]; then
            echo "$segment: $(head -n 1 "$work/extents")"
        fi
    done
}

head -c 900000 /dev/urandom >"$work/large"
for round in $(seq "$rounds"); do
    for i in 0 1 2 3 4 5 6 7; do
        cp "$work/large" "$mnt/large.$i" || wrong "round $round"
    done
    "$program" compact --data "$data" "$(cat "$mnt/.fs/revision")" >/dev/null || wrong "compact"
    is "" "$(unwritten)" "unwritten extents in round $round"
    echo "$((round * 8 * 900000 / 1048576)) MiB: $(cd "$data/wal" && ls -i | tr '\n' ' ')"
    inodes >>"$work/inodes"
done
[ "$(inodes | wc -l)" -le 10 ] || wrong "segments pile up: $(ls -s "$data/wal")"
files=$(sort -u "$work/inodes" | wc -l)
[ "$files" -le 6 ] || wrong "$files files for $((rounds * 8 * 900000 / 67108864)) segments of log"
figure "$((rounds * 8 * 900000 / 1048576)) MiB of log in $files files, no unwritten extent"
grep -q "last error: none" "$mnt/.fs/status" || wrong "status: $(cat "$mnt/.fs/status")"
finish
