#!/bin/sh
# rsync -a by checksum: the first run copies, the second finds nothing to do, a third only what changed.
# --modify-window=-1 compares times to the nanosecond.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
need_command rsync
count=200
[ -z "$FULL" ] || count=3000
make_tree "$work/source" "$count"

start_mount
sent() { # OPTION..: how many files rsync had to send
    rsync -a --modify-window=-1 --stats "$@" "$work/source/" "$mnt/copy/" |
        sed -n 's/^Number of regular files transferred: //p' | tr -d ,
}
files=$(find "$work/source" -type f | wc -l)
is "$files" "$(sent --checksum)" "files sent by the first run"
same "$work/source" "$mnt/copy"
before=$(revision)
is 0 "$(sent --checksum)" "files sent by the second run"
figure "rsync -a --checksum: $files files sent, then $(sent --checksum)"
silent "a second run" rsync -a --modify-window=-1 --checksum --itemize-changes "$work/source/" "$mnt/copy/"
silent "a run by size and time" rsync -a --modify-window=-1 --itemize-changes "$work/source/" "$mnt/copy/"
is "$before" "$(revision)" "the revision after runs that had nothing to do"

echo changed >"$work/source/a name with spaces/and a file"
is 1 "$(sent)" "files sent after one changed"
same "$work/source" "$mnt/copy"
rm "$work/source/a name with spaces/dangling"
rsync -a --modify-window=-1 --delete "$work/source/" "$mnt/copy/"
same "$work/source" "$mnt/copy" "after --delete"
rsync -a --modify-window=-1 --inplace --no-whole-file --ignore-times "$work/source/" "$mnt/copy/"
same "$work/source" "$mnt/copy" "after --inplace"
rsync -a --modify-window=-1 --checksum "$mnt/copy/" "$work/back/"
same "$work/source" "$work/back" "what came back"
finish
