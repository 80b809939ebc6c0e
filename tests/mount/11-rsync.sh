#!/bin/sh
# rsync -a by checksum: the first run copies, the second finds nothing to do, a third only what changed.
. "$SRCDIR/tests/mount/lib.sh"
. "$SRCDIR/tests/mount/tree.sh"
need_command rsync
count=200
[ -z "$FULL" ] || count=3000
make_tree "$work/source" "$count"

start_mount
rsync -a --checksum "$work/source/" "$mnt/copy/"
same "$work/source" "$mnt/copy"
before=$(revision)
is "" "$(rsync -a --checksum --itemize-changes "$work/source/" "$mnt/copy/")" "a second run"
is "" "$(rsync -a --itemize-changes "$work/source/" "$mnt/copy/")" "a run by size and time"
is "$before" "$(revision)" "the revision after runs that had nothing to do"

echo changed >"$work/source/a name with spaces/and a file"
is 1 "$(rsync -a --itemize-changes "$work/source/" "$mnt/copy/" | grep -c '^>f')" "files sent"
same "$work/source" "$mnt/copy"
rm "$work/source/a name with spaces/dangling"
rsync -a --delete "$work/source/" "$mnt/copy/"
same "$work/source" "$mnt/copy" "after --delete"
rsync -a --inplace --no-whole-file --ignore-times "$work/source/" "$mnt/copy/"
same "$work/source" "$mnt/copy" "after --inplace"
rsync -a --checksum "$mnt/copy/" "$work/back/"
same "$work/source" "$work/back" "what came back"
finish
