#!/bin/sh
# A file that a program is still writing, while others rename it, list its folder, remove it or move it.
. "$(dirname "$0")/lib.sh"
start_mount

# A shell that writes and then waits, with the file open, until it is told to end. (A redirection of its
# own would close a copy of the descriptor, which saves; so another program tells that it has written.)
begin() { # its file, and what is written
    rm -f "$work/go" "$work/written"
    (
        exec >"$1"
        printf '%s\n' "$2"
        touch "$work/written"
        while [ ! -e "$work/go" ]; do sleep 0.1; done
        echo end
    ) 2>"$work/writer" &
    writer=$!
    while [ ! -e "$work/written" ]; do sleep 0.1; done
}
end() {
    : >"$work/go"
    wait "$writer" || wrong "the writer ended with $?: $(cat "$work/writer")"
}

echo old >"$mnt/name"
begin "$mnt/new" whole
mv "$mnt/new" "$mnt/name"
is whole "$(cat "$mnt/name")" "a file that was renamed while it was written"
end
is "whole end" "$(tr '\n' ' ' <"$mnt/name" | sed 's/ $//')" "that file once it was closed"

mkdir "$mnt/d" "$mnt/empty"
begin "$mnt/d/f" content
is f "$(ls "$mnt/d")" "a name that is being made, listed"
refuses "not empty" rmdir "$mnt/d"
refuses "not empty" mv -T "$mnt/empty" "$mnt/d"
mv "$mnt/d" "$mnt/moved"
end
is "content end" "$(tr '\n' ' ' <"$mnt/moved/f" | sed 's/ $//')" "a file made in a folder that was moved"

begin "$mnt/moved/g" gone
rm -r "$mnt/moved"
end
is "empty name" "$(ls "$mnt" | tr '\n' ' ' | sed 's/ $//')" "names at the end"
finish
