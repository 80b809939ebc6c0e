#!/bin/sh
# The witness itself: on a local folder its ledger holds, and each kind of damage is found.
set -eu
: "${BUILDDIR:=$PWD}"
ledger=$BUILDDIR/tests/mount/ledger
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
wrong() {
    echo "wrong: $*"
    failures=$((failures + 1))
}
finds() { # what was done: verify notices, and the folder is made good again
    "$ledger" verify "$work/dir" "$work/book" >"$work/out" 2>&1 && wrong "not found: $1"
    rm -rf "$work/dir"
    cp -a "$work/good" "$work/dir"
}

mkdir "$work/dir"
for seed in 1 2 3; do
    "$ledger" run --seed $seed --workers 3 --operations 200 "$work/dir" "$work/book"
    "$ledger" verify "$work/dir" "$work/book" >"$work/out" || wrong "$(cat "$work/out")"
    grep -qE '^[0-9]{3,} acknowledged, 0 wrong$' "$work/out" || wrong "it said: $(cat "$work/out")"
done
cp -a "$work/dir" "$work/good"
file=$(find "$work/dir" -type f -size +1k | head -n 1)
[ -n "$file" ] || wrong "no file to damage"

rm "$file"; finds "a file that is gone"
: >"$file"; finds "an empty file"
printf X | dd of="$file" bs=1 seek=100 conv=notrunc 2>/dev/null; finds "a changed byte"
echo more >>"$file"; finds "a byte more"
truncate -s -1 "$file"; finds "a byte less"
chmod 7 "$file"; finds "another mode"
rm "$file"; mkdir "$file"; finds "a folder in a file's place"
echo x >"$work/dir/w0/extra"; finds "a name of nobody's"
rm -rf "$work/dir/w1"; finds "a worker's folder that is gone"
rm -rf "$work/dir"; mkdir "$work/dir"; finds "everything gone"

# An operation that was not acknowledged may have happened or not, in whole.
line=$(grep '^A' "$work/book.0" | tail -n 1)
intent=$(grep "^I ${line#A }" "$work/book.0")
sed -i "/^$line\$/d" "$work/book.0"
"$ledger" verify "$work/dir" "$work/book" >"$work/out" || wrong "done, not acknowledged: $(cat "$work/out")"
name=$(printf '%s\n' "$intent" | cut -d' ' -f3)
printf 'I %s %s f:644:3:00000000\n' "${line#A }" "$name" >>"$work/book.0"
"$ledger" verify "$work/dir" "$work/book" >"$work/out" 2>&1 || true
rm -rf "$work/dir/w0/$name"; echo neither >"$work/dir/w0/$name"
finds "neither what was nor what was intended"
# An acknowledged one must have happened.
printf 'A %s\n' "${line#A }" >>"$work/book.0"
finds "acknowledged and not there"
[ "$failures" = 0 ]
