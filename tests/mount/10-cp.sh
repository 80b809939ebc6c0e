#!/bin/sh
# cp -a of a real tree into the mount and back: nothing is lost or changed on the way.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
count=300
[ -z "$FULL" ] || count=3000
make_tree "$work/source" "$count"

start_mount
cp -a "$work/source" "$mnt/copy"
same "$work/source" "$mnt/copy" "source and copy"
cp -a "$mnt/copy" "$work/back"
same "$work/source" "$work/back" "source and what came back"
figure "cp -a: $(find "$work/back" -type f | wc -l) files, $(du -sk --apparent-size "$work/back" | cut -f1) KiB there and back"
cp -a "$mnt/copy" "$mnt/copy2"
same "$work/source" "$mnt/copy2" "source and a copy within the mount"
rm -r "$mnt/copy2"
is copy "$(ls "$mnt")" "what is left after rm -r"

# What the kernel remembers does not count: ask again after a restart, and after a kill.
stop_mount
start_mount
same "$work/source" "$mnt/copy" "source and copy after a restart"
kill_mount
start_mount
same "$work/source" "$mnt/copy" "source and copy after a kill"
rm -r "$mnt/copy"
silent "what is left at the end" ls -A "$mnt"
finish
