#!/bin/sh
# Programs that walk a tree see what they see on any filesystem: find, du, ls -lR, df, grep -r, wc; and
# the hidden folders stay hidden.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
count=300
[ -z "$FULL" ] || count=3000
make_tree "$work/source" "$count"
start_mount
cp -a "$work/source" "$mnt/copy"

both() { # a command with its output, in both
    (cd "$work/source" && eval "$1" 2>&1 | sort) >"$work/a"
    (cd "$mnt/copy" && eval "$1" 2>&1 | sort) >"$work/b"
    [ -s "$work/a" ] || wrong "$1: says nothing"
    diff "$work/a" "$work/b" >"$work/diff" || wrong "$1: $(head -n 6 "$work/diff")"
}
both 'find .'
both 'find . -type f -perm /4000'
both 'find . -newermt 2030-01-01'
both 'find . -type f -size -4 -user 1000'
both 'find . -type d -links 2'
both 'find . -type d -printf "%p %n\n"'
both 'find . -type f -empty'
both 'du -a --apparent-size -b . | grep -vE "$(find . -type d | sed "s#.*#	&\$#" | paste -sd"|")"'
both 'ls -lR --time-style=full-iso . | grep "^[-l]" | tr -s " "'
both 'grep -rlI e . | head -c 100000'
both 'find . -type f -print0 | xargs -0 md5sum'
both 'find . -type f -print0 | wc -l --files0-from=- | tail -n 1'
both 'tar -cf - --sort=name --format=gnu . | tar -tvf - | grep "^-"'

find "$mnt" >"$work/all"
! grep -qE '/\.(fs|snapshot)(/|$)' "$work/all" || wrong "a hidden folder is listed"
is "copy" "$(ls -A "$mnt")" "names in the root"
[ -d "$mnt/.snapshot" ] && [ -d "$mnt/copy/.snapshot" ] && [ -d "$mnt/.fs" ] || wrong "hidden folders"
# du counts what is there, and df shows a size, a use and the names.
[ "$(du -s "$mnt/copy" | cut -f1)" -gt 100 ] || wrong "du: $(du -s "$mnt/copy")"
df -P "$mnt" | awk -v at="$mnt" 'NR == 2 { exit !($2 > 0 && $4 > 0 && $6 == at) }' || wrong "df: $(df -P "$mnt")"
df -Pi "$mnt" >/dev/null || wrong "df -i"
stat -f -c '%l %S' "$mnt" | grep -q '^255 ' || wrong "the longest name: $(stat -f "$mnt")"
# Inode numbers are as many as there are names.
total=$(find "$mnt/copy" | wc -l)
[ "$total" -gt "$count" ] || wrong "only $total names"
is "$total" "$(find "$mnt/copy" -printf '%i\n' | sort -u | wc -l)" "different inode numbers"
find "$mnt/copy" -printf '%i %p\n' | sort >"$work/inodes"
figure "find: $total names; du: $(du -sk "$mnt/copy" | cut -f1) KiB; df: $(df -Pk "$mnt" | awk 'NR == 2 { print $3 " of " $2 }') KiB"
kill_mount
start_mount
find "$mnt/copy" -printf '%i %p\n' | sort | diff "$work/inodes" - >/dev/null || wrong "other inode numbers after a restart"
finish
