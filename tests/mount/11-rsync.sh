#!/bin/sh
# rsync -a --modify-window=-1 by checksum: the first run copies, the second finds nothing to do, a third only what changed.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
need_command rsync
count=200
[ -z "$FULL" ] || count=3000
make_tree "$work/source" "$count"

start_mount
rsync -a --modify-window=-1 --checksum "$work/source/" "$mnt/copy/"
same "$work/source" "$mnt/copy"
before=$(revision)
is "" "$(rsync -a --modify-window=-1 --checksum --itemize-changes "$work/source/" "$mnt/copy/")" "a second run"
is "" "$(rsync -a --modify-window=-1 --itemize-changes "$work/source/" "$mnt/copy/")" "a run by size and time"
is "$before" "$(revision)" "the revision after runs that had nothing to do"

echo changed >"$work/source/a name with spaces/and a file"
is 1 "$(rsync -a --modify-window=-1 --itemize-changes "$work/source/" "$mnt/copy/" | grep -c '^>f')" "files sent"
same "$work/source" "$mnt/copy"
rm "$work/source/a name with spaces/dangling"
rsync -a --modify-window=-1 --delete "$work/source/" "$mnt/copy/"
same "$work/source" "$mnt/copy" "after --delete"
rsync -a --modify-window=-1 --inplace --no-whole-file --ignore-times "$work/source/" "$mnt/copy/"
same "$work/source" "$mnt/copy" "after --inplace"
rsync -a --modify-window=-1 --checksum "$mnt/copy/" "$work/back/"
same "$work/source" "$work/back" "what came back"
finish
