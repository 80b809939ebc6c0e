#!/bin/sh
# A listing of many names, while others come and go: every name that stayed is listed exactly once.
. "$(dirname "$0")/lib.sh"
count=5000
[ -z "$FULL" ] || count=100000
start_mount
mkdir "$mnt/many"
"$(compiled listing)" "$mnt/many" "$count" >"$work/out" 2>&1 || wrong "$(tail -n 5 "$work/out")"
is "$count" "$(ls -f "$mnt/many" | grep -c '^stays-[0-9]*$')" "names by ls"
is "$count" "$(find "$mnt/many" | grep '/stays-[0-9]*$' | sort -u | wc -l)" "names by find"
kill_mount
start_mount
is "$count" "$(ls -f "$mnt/many" | grep -c '^stays-[0-9]*$')" "names after a kill"
rm -r "$mnt/many"
[ ! -e "$mnt/many" ] || wrong "rm -r"
finish
