#!/bin/sh
# Commands and files are one key space: what one changes the other sees at once, and history, metadata
# and the system range are the same for both.
. "$(dirname "$0")/lib.sh"
start_mount

concordfs() { # the mount names the member
    command=$1
    shift
    "$program" "$command" --data "$mnt" "$@"
}
ends() { # STATUS command..
    wanted=$1
    shift
    got=0
    "$@" >"$work/out" 2>"$work/err" || got=$?
    is "$wanted" "$got" "the status of: $*"
}

# A put is seen by the next read and stat, though the kernel remembers names and sizes for a second.
echo first >"$mnt/file"
for round in 1 2 3 4 5 6 7 8 9 10; do
    is "$((round + 5))" "$(wc -c <"$mnt/file" | tr -d ' ')" "size in round $round"
    printf 'round%*s' "$((round + 2))" . | concordfs put /file >"$work/out"
    is "$((round + 7))" "$(stat -c %s "$mnt/file")" "stat after put $round"
    printf 'round%*s' "$((round + 1))" . >"$mnt/file"
done
[ ! -e "$mnt/new" ] || wrong "new is there already"
concordfs put /new 1 >"$work/out"
is 1 "$(cat "$mnt/new")" "a name that was missing a moment ago"
concordfs del /new >"$work/out"
[ ! -e "$mnt/new" ] || wrong "a deleted key is still a file"

# What a write in place could not save, because somebody else saved meanwhile, is kept for its owner.
echo 0123456789 >"$mnt/lost"
mkfifo "$work/pipe"
dd bs=2 conv=notrunc of="$mnt/lost" <"$work/pipe" 2>"$work/err" &
writer=$!
exec 3>"$work/pipe"
until [ "$(readlink "/proc/$writer/fd/1")" = "$mnt/lost" ]; do sleep 0.1; done
concordfs put /lost theirs >"$work/out"
printf XX >&3
exec 3>&-
ends 1 wait "$writer"                   # its close says ESTALE
is theirs "$(cat "$mnt/lost")" "the file that was saved meanwhile"
is 1 "$(ls "$mnt/.fs/conflicts" | grep -c -- '-lost$')" "what is kept of the writes that were refused"
is XX23456789 "$(cat "$mnt/.fs/conflicts/"*-lost)" "the content that was refused"
is 400 "$(stat -c %a "$mnt/.fs/conflicts/"*-lost)" "its mode"
grep -q 'conflicts: 1' "$mnt/.fs/status" || wrong "the status does not tell"

# ls shows what the mount shows.
mkdir -p "$mnt/tree/empty" "$mnt/tree/full/deep"
mkfifo "$mnt/tree/fifo"
ln -s nowhere "$mnt/tree/link"
for name in a 'b c' 'd*' "$(printf 'e\303\251')" .hidden; do echo x >"$mnt/tree/$name"; done
echo y >"$mnt/tree/full/deep/file"
concordfs ls /tree | sed 's,/$,,' | sort >"$work/ours"
ls -A "$mnt/tree" | sort >"$work/theirs"
diff "$work/ours" "$work/theirs" >"$work/out" || wrong "ls differs: $(cat "$work/out")"
ends 0 concordfs ls /tree/empty
ends 3 concordfs ls /tree/missing

# Metadata lives and dies with its key, whoever deletes it.
echo mode >"$mnt/kept"
chmod 600 "$mnt/kept"
concordfs put /kept again >"$work/out"
is 600 "$(stat -c %a "$mnt/kept")" "the mode after a put"
concordfs del /kept >"$work/out"
concordfs put /kept reborn >"$work/out"
is 644 "$(stat -c %a "$mnt/kept")" "the mode of a key that came again"

# The past is the same past.
good=$(revision)
concordfs put /kept changed >"$work/out"
is reborn "$(concordfs get --rev "$good" --print-value-only /kept)" "get --rev"
is reborn "$(cat "$mnt/.snapshot/$good/kept")" ".snapshot of the same revision"
concordfs compact --physical "$(revision)" >"$work/out"
ends 1 concordfs get --rev "$good" /kept
[ ! -e "$mnt/.snapshot/$good/kept" ] || wrong "a compacted revision is still there"
is changed "$(cat "$mnt/kept")" "the newest version after a compaction"

# Everything is deleted but the system range: directories stay, and settings.
concordfs put .concordfs/config/max_file_size 1000 >"$work/out"
concordfs del --prefix '' >"$work/out"
is 0 "$(concordfs get --prefix '' --count-only)" "keys after deleting all"
is 1000 "$(concordfs get --print-value-only .concordfs/config/max_file_size)" "a setting"
[ -d "$mnt/tree/empty" ] || wrong "an empty directory went with the keys"
[ ! -e "$mnt/file" ] || wrong "a file stayed"
save_large() { dd if=/dev/zero of="$mnt/big" bs=2000 count=1 2>"$work/err"; }
settle() { # a mount looks at the settings once in a while: until the command ends with that status
    for _ in $(seq 100); do
        status=0
        save_large || status=1
        [ "$status" != "$1" ] || return 0
        sleep 0.1
    done
    return 1
}
settle 1 || wrong "a file above the setting was saved"
grep -q 'File too large' "$work/err" || wrong "it was refused with: $(cat "$work/err")"
ends 1 concordfs put .concordfs/config/max_file_size many
ends 1 concordfs put .concordfs/config/no_such_setting 1
concordfs del .concordfs/config/max_file_size >"$work/out"
settle 0 || wrong "the default did not come back"

# A large answer comes in pieces, and whole.
for i in 1 2 3 4 5 6 7 8; do head -c 900000 /dev/urandom >"$mnt/large$i"; done
for i in 1 2 3 4 5 6 7 8; do cat "$mnt/large$i" && echo; done >"$work/theirs"
concordfs get --prefix /large --print-value-only >"$work/got"
cmp "$work/got" "$work/theirs" || wrong "eight large values differ"
is 8 "$(concordfs get --prefix /large --count-only)" "their count"

# Nobody else talks to the member.
if optional setpriv; then
    chmod 755 "$work" "$data"
    ends 1 setpriv --reuid 65534 --clear-groups "$program" get --data "$data" /kept
    grep -q 'another user' "$work/err" || wrong "another user was told: $(cat "$work/err")"
fi

# stop ends the mount as well, and returns when both are gone.
ends 0 "$program" stop "$mnt"
! is_mounted || wrong "stopped, and still mounted"
ends 1 "$program" status --data "$data"
ends 0 "$program" wal dump "$data"
wait "$daemon" || wrong "the daemon ended with $?"
daemon=
start_mount
is 8 "$(concordfs get --prefix /large --count-only)" "keys after a stop"
stop_mount
finish
