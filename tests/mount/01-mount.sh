#!/bin/sh
# The commands around a mount: it comes up in the background and only when it serves, says what is wrong
# in one line, ends without a trace, and comes back with its data.
. "$(dirname "$0")/lib.sh"

one_line() { # command..: fails with status 1 and one line
    status=0
    "$@" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" != 0 ] || wrong "succeeded: $*"
    [ "$(wc -l <"$work/err")" = 1 ] || wrong "$*: not one line: $(cat "$work/err")"
}

"$program" --version | grep -q '[0-9]\.[0-9]' || wrong "no version"
"$program" --help | grep -q mount || wrong "no help"
"$program" mount --help | grep -q -- --data || wrong "no help for mount"

# In the background: the command returns when the mount serves, and its output is at its end.
out=$("$program" mount --data "$data" "$mnt" 2>&1) || die "mount: $out"
is_mounted || die "it has returned and nothing is mounted"
echo 8080 >"$mnt/port"
is 8080 "$(cat "$mnt/port")" "the first file"
"$program" status "$mnt" >"$work/status" || wrong "status ended with $?"
grep -q revision "$work/status" || wrong "status: $(cat "$work/status")"
sed 's/:.*//' "$work/status" | while read -r word; do
    grep -q "^$word:" "$mnt/.fs/status" || wrong ".fs/status does not say: $word"
done >"$work/out"
[ ! -s "$work/out" ] || wrong "$(cat "$work/out")"

# The same key space through the socket.
is 8080 "$("$program" get --data "$data" --print-value-only /port)" "get of a file"
"$program" put --data "$data" /app/name "from the socket" >/dev/null || wrong put
is "from the socket" "$(cat "$mnt/app/name")" "a key put by the command"
"$program" ls --data "$data" / >"$work/ls" || wrong ls
grep -q port "$work/ls" || wrong "ls: $(cat "$work/ls")"
"$program" del --data "$data" /app/name >/dev/null || wrong del
[ ! -e "$mnt/app/name" ] || wrong "a deleted key is still a file"

# Two members never share a folder; nothing is mounted over a mount that lives.
mkdir "$work/other"
one_line "$program" mount --data "$data" "$work/other"
one_line "$program" mount --data "$work/data2" "$work/absent/place"
one_line "$program" mount --data "$data" -o no_such_option "$work/other"
one_line "$program" mount --data /dev/null/data "$work/other"
! grep -q " $work/other " /proc/self/mountinfo || wrong "a failed mount is mounted"
is 8080 "$(cat "$mnt/port")" "after refused mounts"

"$program" umount "$mnt" || wrong "umount"
! is_mounted || wrong "still mounted"
[ ! -e "$mnt/port" ] || wrong "the file lies below the mount point"
one_line "$program" umount "$mnt"
one_line "$program" get --data "$data" /port

# It comes back, in the foreground too, and after its daemon was killed.
start_mount
is 8080 "$(cat "$mnt/port")" "after a restart"
kill_mount
refuses "not connected" cat "$mnt/port"
start_mount
is 8080 "$(cat "$mnt/port")" "after a kill"
before=$(revision)
echo 8081 >"$mnt/port"
is $((before + 1)) "$(revision)" "revisions of one save"
# A signal is an orderly end.
kill -TERM "$daemon"
status=0
wait "$daemon" || status=$?
daemon=
is 0 "$status" "status after SIGTERM"
! is_mounted || wrong "still mounted after SIGTERM"
start_mount
is 8081 "$(cat "$mnt/port")" "after SIGTERM"
finish
