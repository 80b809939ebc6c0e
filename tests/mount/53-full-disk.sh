#!/bin/sh
# A disk that is nearly full: who saves is told by the call that writes, not by close alone, which few look at;
# reading and deleting go on; and when there is room again so does everything.
. "$(dirname "$0")/lib.sh"
trap 'status=$?; umount -l "$data" 2>/dev/null; clean_up "$status"' EXIT

mkdir -p "$data"
mount -t tmpfs -o size=700m,mode=700 tmpfs "$data" || skip "no tmpfs can be mounted"
start_mount
ballast=$data/ballast
until_it() { # COMMAND..
    tries=0
    until "$@" >"$work/out" 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || die "not within 30 s: $*: $(cat "$work/out")"
        sleep 0.1
    done
}
is_alarmed() { grep -q '^alarm: disk nearly full' "$mnt/.fs/status"; }
is_calm() { ! is_alarmed; }
# What the daemon sets aside may still be growing: then there is less room than there was.
nearly_fill() {
    head -c "$(($(df -m --output=avail "$data" | tail -n 1) - 60))M" /dev/zero >"$ballast" || {
        rm "$ballast"
        false
    }
}
writes() { echo text | tee "$1" >"$work/tee"; }
adds() { echo text | tee -a "$1" >"$work/tee"; }
overwrites() { echo after | dd of="$1" conv=notrunc status=none; }
makes() { sh -c ': >"$1"' sh "$1"; }

echo before >"$mnt/file"
mkdir "$mnt/folder"
until_it test -e "$data/reserve"
until_it nearly_fill
echo more >"$mnt/more"                  # it is measured while anything is applied
until_it is_alarmed
before=$(revision)
refuses "no space left" writes "$mnt/new"
refuses "no space left" makes "$mnt/new"
refuses "no space left" writes "$mnt/file"
refuses "no space left" adds "$mnt/file"
refuses "no space left" overwrites "$mnt/file"
refuses "no space left" mkdir "$mnt/other"
refuses "no space left" mv "$mnt/file" "$mnt/moved"
refuses "no space left" cp "$mnt/file" "$mnt/copy"
is before "$(cat "$mnt/file")" "what was there"
is "file folder more" "$(echo $(ls "$mnt"))" "names"
is "$before" "$(revision)" "nothing was changed"
silent "rm" rm "$mnt/more"
silent "rmdir" rmdir "$mnt/folder"
"$program" compact --data "$mnt" "$(revision)" >"$work/out" || wrong "compact ended with $?"

rm "$ballast"
until_it is_calm
silent "a save" writes "$mnt/new"
silent "an addition" adds "$mnt/file"
is "before text" "$(tr '\n' ' ' <"$mnt/file" | sed 's/ $//')" "what was added"
stop_mount
start_mount
is text "$(cat "$mnt/new")" "after a restart"
stop_mount
finish
