#!/bin/sh
# A daemon that is killed while the kernel holds one of its threads does not end: the thread waits for a
# directory's lock, which a request holds that waits for the daemon. The next start on its data ends that.
. "$(dirname "$0")/lib.sh"
library=$BUILDDIR/tests/mount/stall.so STALL=$work/stall
maker='' remover=''
end() {
    set +e
    [ -z "$remover" ] || kill -9 "$remover" 2>/dev/null
    clean_up "$1"
}
trap 'end $?' EXIT

until_true() { # TEXT COMMAND..
    text=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 1000 ] || die "$text"
        sleep 0.01
    done
}
# D, R .. of each of its threads; nothing once it has ended.
states() {
    for task in "/proc/$1/task"/*; do
        sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "$task/status"
    done 2>/dev/null
}
waits_in_the_kernel() { states "$1" | grep -q D; }
is_dead() { ! states "$1" | grep -q '[RS]'; }
has_ended() { [ "$(states "$1" | paste -sd '')" = Z ] || [ -z "$(states "$1")" ]; }

MOUNT_ENV="STALL=$STALL LD_PRELOAD=$library ASAN_OPTIONS=verify_asan_link_order=0"
start_mount
MOUNT_ENV=
mkdir "$mnt/d"
echo 1 >"$mnt/d/known"
cat "$mnt/d/known" >"$work/out"

# A note is on its way to the kernel; whoever removed the file waits until it is there.
: >"$STALL.notes"
"$program" del --data "$data" /d/known >"$work/removed" 2>&1 &
remover=$!
until_true "no name is forgotten" [ -e "$STALL.note" ]

# A request holds the directory's lock, and will not be answered.
: >"$STALL.answers"
(cd "$mnt/d" && exec mkdir new) >"$work/made" 2>&1 &
maker=$!
until_true "no folder is made" [ -e "$STALL.answer" ]
rm "$STALL.notes"
until_true "nothing waits for the lock of the directory" waits_in_the_kernel "$daemon"

killed=$daemon daemon=
kill -9 "$killed"
until_true "kill -9 kills nothing" is_dead "$killed"
if has_ended "$killed"; then
    say "this kernel lets go by itself"
else
    kill -0 "$maker" 2>/dev/null || wrong "whoever uses the mount does not wait"
fi
start_mount
until_true "the killed daemon is still there" has_ended "$killed"
status=0
wait "$maker" || status=$?
[ "$status" != 0 ] || wrong "a folder was made, as somebody was told"
[ -d "$mnt/d/new" ] || wrong "it was made, and has gone"
[ ! -e "$mnt/d/known" ] || wrong "what was removed is back"
echo 2 >"$mnt/d/known"
is 2 "$(cat "$mnt/d/known")" "a file in that directory"
finish
