#!/bin/sh
# A program that opens, writes and closes a file from different threads (Go, Java and Node do) saves it
# like any other: whole, in one commit, there when close returns.
. "$(dirname "$0")/lib.sh"
rounds=40
[ -z "$FULL" ] || rounds=800
start_mount
"$(compiled threads)" "$mnt" >"$work/out" 2>&1 || wrong "$(cat "$work/out")"
saves=$(sed -n 's/^\([0-9]*\) saves$/\1/p' "$work/out")
[ "${saves:-0}" -gt 50 ] || wrong "it said: $(cat "$work/out")"
before=$(revision)
"$(compiled threads)" "$mnt" "$rounds" >"$work/out" 2>&1 || wrong "$(cat "$work/out")"
saves=$(sed -n 's/^\([0-9]*\) saves$/\1/p' "$work/out")
is "$saves" $(($(revision) - before)) "commits"
is $((4 * rounds)) "$saves" "saves"
figure "$saves saves by threads, $(($(revision) - before)) commits"
finish
