#!/bin/sh
# A file that is replaced again and again is always one of its versions, whole: by truncate and rewrite,
# by rename, by appending, and through shells; by read and by mapping.
. "$(dirname "$0")/lib.sh"
torn=$(compiled torn)
seconds=4
[ -z "$FULL" ] || seconds=60
start_mount

# Two minutes of it would be more history than the quota allows. What readers may still have open stays.
forget_old() {
    while [ ! -e "$work/enough" ]; do
        sleep 1
        at=$(($(revision) - 1500))
        [ "$at" -lt 2 ] || "$program" compact --data "$data" "$at" >/dev/null || echo "status $?"
    done
}
forget_old >"$work/forget" 2>&1 &
forgetter=$!

sum() { # what the readers' lines "read N times" and "mapped N times, N refused" add up to
    awk -v word="$1" '$1 == word && word == "mapped" { refused += $4 } $1 == word { sum += $2 }
        END { print sum + 0 (word == "mapped" ? " whole mappings, " refused + 0 " refused" : " whole reads") }' \
        "$work"/reader.*
}

for way in rewrite rename; do
    before=$(revision)
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
    grep -q '^mapped [1-9]' "$work"/reader.* || wrong "$way: no mapping was ever whole"
    figure "$way, $seconds s: $(($(revision) - before)) revisions, $(sum read), $(sum mapped)"
done

# echo x >f in a loop: a reader never finds it empty.
echo 0 >"$mnt/port"
( number=0; while [ ! -e "$work/enough" ]; do number=$((number + 1)); echo "$number" >"$mnt/port"; done ) &
writer=$!
before=$(revision)
"$torn" line "$mnt/port" "$seconds" >"$work/line" || wrong "echo in a loop: $(cat "$work/line")"
: >"$work/enough"
wait "$writer" || wrong "the loop of echo failed"
[ "$(cat "$mnt/port")" -gt 1 ] || wrong "the loop of echo did not go round"
figure "echo in a loop, $seconds s: $(($(revision) - before)) revisions, $(cat "$work/line")"
wait "$forgetter" || true
[ ! -s "$work/forget" ] || wrong "compact: $(head -n 3 "$work/forget")"
finish
