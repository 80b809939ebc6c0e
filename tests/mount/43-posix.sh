#!/bin/sh
# System calls and their errors, one after the other (posix.c): first on the local filesystem, to know
# that the test is right, then on the mount.
. "$(dirname "$0")/lib.sh"
posix=$(compiled posix)
mkdir "$work/local"
"$posix" "$work/local" >"$work/out" || die "on the local filesystem: $(cat "$work/out")"
start_mount
mkdir "$mnt/there"
"$posix" --mount "$mnt/there" >"$work/out" || wrong "$(cat "$work/out")"
silent "what is left" ls -A "$mnt/there"
"$posix" --mount "$mnt" >"$work/out" || wrong "in the root: $(cat "$work/out")"
kill_mount
start_mount
"$posix" --mount "$mnt/there" >"$work/out" || wrong "after a kill: $(cat "$work/out")"
finish
