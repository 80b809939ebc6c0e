#!/bin/sh
# tar in and out; and a file that tar extracts, with its owner, mode and times, is one commit.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tree.sh"
count=300
[ -z "$FULL" ] || count=3000
make_tree "$work/source" "$count"
tar -C "$work/source" --format=posix -cf "$work/tree.tar" .

start_mount
mkdir "$mnt/copy"
tar -C "$mnt/copy" -xpf "$work/tree.tar"
# "." itself is in the archive, and is no name of ours below.
same "$work/source" "$mnt/copy" "source and what tar extracted"
before=$(revision)
tar -C "$mnt/copy" --format=posix -cf "$work/back.tar" .
is "$before" "$(revision)" "the revision after tar c"
mkdir "$work/back"
tar -C "$work/back" -xpf "$work/back.tar"
same "$work/source" "$work/back" "source and what came back"
tar -C "$work/source" -df "$work/back.tar" >"$work/diff" 2>&1 || wrong "tar -d: $(head -n 5 "$work/diff")"

# Plain files of several owners, modes and times in one folder.
mkdir "$work/plain" "$mnt/plain" "$mnt/exclusive"
number=0
while [ "$number" -lt 100 ]; do
    number=$((number + 1))
    head -c $((number * 37)) /dev/urandom >"$work/plain/f$number"
    chmod $((600 + number % 8 * 10 + number % 5)) "$work/plain/f$number"
    chown $((number % 3 * 1000)):$((number % 4 * 500)) "$work/plain/f$number"
    touch -d "2020-01-01 00:00:$((number % 60))" "$work/plain/f$number"
done
(cd "$work/plain" && tar -cf "$work/plain.tar" f*)
before=$(revision)
tar -C "$mnt/plain" --overwrite -xpf "$work/plain.tar"
commits=$(($(revision) - before))
is 100 "$commits" "commits for 100 files"
# Without --overwrite tar opens with O_EXCL, which is a promise of its own: one commit more.
before=$(revision)
tar -C "$mnt/exclusive" -xpf "$work/plain.tar"
exclusive=$(($(revision) - before))
[ "$exclusive" -le 200 ] || wrong "$exclusive commits for 100 files by O_EXCL"
figure "tar x of 100 files: $commits commits; with O_EXCL $exclusive"
same "$work/plain" "$mnt/plain" "plain files"
same "$work/plain" "$mnt/exclusive" "plain files by O_EXCL"
# Over files that are there.
tar -C "$mnt/plain" --overwrite -xpf "$work/plain.tar"
same "$work/plain" "$mnt/plain" "plain files, extracted again"
finish
