#!/bin/sh
# A folder of many files is renamed in one revision, with all below it, and watchers of paths see it at
# once: never both names, never neither.
. "$(dirname "$0")/lib.sh"
count=2000
start_mount
mkdir "$work/old" "$work/old/sub" "$mnt/place"
number=0
while [ "$number" -lt "$count" ]; do
    number=$((number + 1))
    echo "$number" >"$work/old/f$number"
done
echo x >"$work/old/sub/x"
chmod 750 "$work/old/sub"
chown 1000:1000 "$work/old/f7"
cp -a "$work/old" "$mnt/place/old"
inode=$(stat -c %i "$mnt/place/old/f7")
before=$(revision)
entries=$(status_of entries)
mv "$mnt/place/old" "$mnt/place/new"
is 1 $(($(status_of entries) - entries)) "log entries of one rename"
is 1 $(($(revision) - before)) "revisions of one rename"
figure "mv of a folder of $count files: $(($(status_of entries) - entries)) log entry"
same "$work/old" "$mnt/place/new"
is new "$(ls "$mnt/place")" "names afterwards"
is "$inode" "$(stat -c %i "$mnt/place/new/f7")" "the inode number after the rename"
mv "$mnt/place/new" "$mnt/moved"
same "$work/old" "$mnt/moved" "after a move to another folder"
# The past has it under its old name, the present under the new one.
diff -r "$work/old" "$mnt/.snapshot/$before/place/old" >"$work/diff" || wrong "$(head -n 3 "$work/diff")"
[ ! -e "$mnt/.snapshot/$before/place/new" ] || wrong "the new name is in the past"
[ ! -e "$mnt/place/new" ] || wrong "the old name is in the present"
kill_mount
start_mount
same "$work/old" "$mnt/moved" "after a kill"
# Into itself is refused; onto an empty folder it goes, onto a full one not.
refuses "subdirectory of itself" mv "$mnt/moved" "$mnt/moved/sub/below"
mkdir "$mnt/empty" "$mnt/full"
echo x >"$mnt/full/x"
mv -T "$mnt/moved" "$mnt/empty"
same "$work/old" "$mnt/empty" "onto an empty folder"
refuses "not empty" mv -T "$mnt/empty" "$mnt/full"
rm -r "$mnt/empty"
is "full place" "$(ls "$mnt" | tr '\n' ' ' | sed 's/ $//')" "names at the end"
# Whoever writes to a file in it while it is renamed has written to it, under its new name: before the close,
# and at the same moment.
mkdir "$mnt/here"
printf 0123456789 >"$mnt/here/f"
cat >"$work/writer.py" <<'END'
import os, sys, threading
here, there = sys.argv[1:]
for number in range(40):
    file = os.open(here + "/f", os.O_RDWR)
    os.write(file, b"%02d" % number)
    mover = threading.Thread(target=os.rename, args=(here, there))
    mover.start()
    if number % 2:
        mover.join()
    os.close(file)
    mover.join()
    found = open(there + "/f").read()
    if found != "%02d23456789" % number or os.path.exists(here):
        sys.exit("round %d: found %s" % (number, found))
    os.rename(there, here)
END
if optional python3; then
    silent "written while its folder moved" python3 "$work/writer.py" "$mnt/here" "$mnt/there"
fi
finish
