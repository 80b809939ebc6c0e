#!/bin/sh
# A file that is replaced again and again is always one of its versions, whole: by truncate and rewrite,
# by rename, by appending, and through shells.
. "$(dirname "$0")/lib.sh"
torn=$(compiled torn)
seconds=4
[ -z "$FULL" ] || seconds=60
start_mount

for way in rewrite rename; do
    "$torn" write "$mnt/$way" "$seconds" $way &
    writer=$!
    for reader in 1 2 3 4; do
        "$torn" read "$mnt/$way" "$seconds" >"$work/reader.$reader" 2>&1 || echo "status $?" >>"$work/reader.$reader" &
        eval "reader$reader=$!"
    done
    wait "$writer" || wrong "$way: the writer ended with $?"
    # shellcheck disable=SC2154
    wait "$reader1" "$reader2" "$reader3" "$reader4" || true
    for reader in 1 2 3 4; do
        grep -q '^read [1-9][0-9]* times$' "$work/reader.$reader" && ! grep -q status "$work/reader.$reader" ||
            wrong "$way: reader $reader: $(head -n 4 "$work/reader.$reader")"
    done
done

# echo x >f in a loop: a reader never finds it empty.
echo 0 >"$mnt/port"
( number=0; while [ ! -e "$work/enough" ]; do number=$((number + 1)); echo "$number" >"$mnt/port"; done ) &
writer=$!
"$torn" line "$mnt/port" "$seconds" || wrong "echo in a loop"
: >"$work/enough"
wait "$writer" || wrong "the loop of echo failed"
finish
