#!/bin/sh
# usage: bench.sh [WORKLOAD..]      (make bench WORKLOADS="create cat-hot")
#
# Sets up a fresh mount of ours, a folder beside its data on the same disk, a tmpfs and an empty FUSE
# daemon, and runs bench_fs over them. BENCH_DIR chooses the disk (default: $TMPDIR or /tmp);
# BENCH_QUICK=1 is a run of seconds.
set -eu
here=${BUILDDIR:-.}
program=${CONCORDFS:-$here/concordfs}
base=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/concordfs-bench-XXXXXX")
memory=$(mktemp -d /dev/shm/concordfs-bench-XXXXXX)
empty=

finish() {
    "$program" umount "$base/ours" 2>/dev/null || fusermount3 -uz "$base/ours" 2>/dev/null || :
    if [ -n "$empty" ]; then
        fusermount3 -u "$base/empty" 2>/dev/null || umount "$base/empty" 2>/dev/null || :
        wait "$empty" 2>/dev/null || :
    fi
    rm -rf "$base" "$memory"
}
trap finish EXIT
trap 'exit 1' INT TERM

mkdir "$base/ours" "$base/disk" "$base/empty" "$base/source"
kind=$(stat -f -c %T "$base/disk")
"$program" mount --data "$base/data" "$base/ours"
"$here/tests/bench/empty-fuse" "$base/empty" &
empty=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    mountpoint -q "$base/empty" && break
    sleep 0.1
done

# What tar and git read: 5,000 small files, and a repository of 300 of them.
awk -v files=5000 -v base="$base/source/tree" 'BEGIN {
    for (i = 0; i < files; i++) {
        folder = base "/" int(i / 100)
        if (i % 100 == 0) system("mkdir -p " folder)
        file = folder "/file-" i
        printf "file %d\n%s\n", i, substr("the quick brown fox jumps over the lazy dog", 1, i % 40) > file
        close(file)
    } }'
tar -cf "$base/source/tree.tar" -C "$base/source" tree
mkdir "$base/source/repository"
( cd "$base/source/repository" && cp -r ../tree/0 ../tree/1 ../tree/2 . && git init -q . &&
    git add . && git -c user.name=bench -c user.email=bench@localhost commit -qm bench )
export BENCH_TAR="$base/source/tree.tar" BENCH_GIT="$base/source/repository"

echo "the disk's filesystem is $kind; Linux $(uname -r)"
"$here/tests/bench/bench_fs" "$base/ours" "$(cat "$base/data/lock")" "$base/disk" "$memory" \
    "$base/empty" "$@"
