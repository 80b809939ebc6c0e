#!/bin/sh
# The rig loses what was not flushed and keeps what was, and nothing else. A subject does some steps
# in a followed folder and is killed; then the power fails, with nothing unflushed kept (--keep 0),
# all of it (256), or some of it by many seeds.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
dir=$folder/dir image=$folder/image
restore=$BUILDDIR/tests/lossy/lossy-restore
failures=0

wrong() {
    echo "wrong: $*"
    (cd "$dir" && find . -type f -size -100k -exec sh -c 'echo "$1: $(head -c 60 "$1" | tr "\0" .)"' - {} \;)
    failures=$((failures + 1))
}

start() { # an empty folder, then durable steps
    rm -rf "$dir" "$image"
    mkdir "$dir"
    "$restore" init "$dir" "$image"
}
run() { # [NAME=VALUE..] step..
    status=0
    # ASan's own library must be the first otherwise.
    said=$(cd "$dir" && env ASAN_OPTIONS=verify_asan_link_order=0 LOSSY_SYNC_US=0 LOSSY_DIR="$dir" \
        LOSSY_IMAGE="$image" LD_PRELOAD="$BUILDDIR/tests/lossy/liblossy.so" "$@" 2>&1) || status=$?
    [ "$status" = 137 ] || wrong "the subject ended with $status: $said"
}
writer=$BUILDDIR/tests/lossy/writer
crash() { "$restore" crash "$@" "$dir" "$image" >/dev/null || wrong "crash $*"; }

is() { # file, then pairs of count and character: what the file holds; "absent" for none
    file=$dir/$1
    shift
    if [ "$1" = absent ]; then
        [ ! -e "$file" ] || wrong "$file is there"
        return 0
    fi
    : >"$folder/want"
    while [ $# -gt 0 ]; do
        head -c "$1" /dev/zero | tr '\0' "$2" >>"$folder/want"
        shift 2
    done
    cmp -s "$folder/want" "$file" || wrong "$file is not as it should be"
}
base="create f write f 0 10000 a sync f sync ."

# Nothing flushed, nothing kept: neither the name nor the bytes; without a loss of power, all.
start; run "$writer" create f write f 0 5000 a; crash --keep 0; is f absent
start; run "$writer" create f write f 0 5000 a; crash --keep 256; is f 5000 a
# The name without its bytes, and the bytes without their name.
start; run "$writer" create f write f 0 5000 a sync .; crash --keep 0; is f 0 a
start; run "$writer" create f write f 0 5000 a sync f; crash --keep 0; is f absent
# Flushed bytes stay, later ones go; a flush of one file is not one of another.
start; run "$writer" $base write f 0 100 b; crash --keep 0; is f 10000 a
start; run "$writer" $base write f 0 100 b append f 50 c sync f; crash --keep 0
is f 100 b 9900 a 50 c
start; run "$writer" $base create g write f 0 100 b write g 0 9 c sync g sync .; crash --keep 0
is f 10000 a; is g 9 c
# The next run starts from what was left.
run "$writer" write g 0 1 d sync g; crash --keep 0; is g 1 d 8 c; is f 10000 a
# A synchronous write carries its pages and no other.
start; run "$writer" $base write f 0 1 b write f 4200 1 b dwrite f 4096 50 c; crash --keep 0
is f 4096 a 50 c 54 a 1 b 5799 a
start; run "$writer" create f sync . dwrite f 8192 10 c; crash --keep 0; is f 8192 '\0' 10 c
# Shorter and longer.
start; run "$writer" $base truncate f 10; crash --keep 0; is f 10000 a
start; run "$writer" $base truncate f 10 sync f; crash --keep 0; is f 10 a
start; run "$writer" $base truncate f 10 truncate f 5000 sync f; crash --keep 0; is f 10 a 4990 '\0'
start; run "$writer" $base truncate f 0 write f 0 20 b; crash --keep 256; is f 20 b
start; run "$writer" $base truncate f 20000 sync f; crash --keep 0; is f 10000 a 10000 '\0'
# Zeros are bytes too.
start; run "$writer" $base truncate f 4096 write f 4096 4096 x sync f truncate f 4096 \
    truncate f 8192 sync f; crash --keep 0; is f 4096 a 4096 '\0'
# Names.
start; run "$writer" $base rename f g; crash --keep 0; is f 10000 a; is g absent
start; run "$writer" $base rename f g sync .; crash --keep 0; is g 10000 a; is f absent
start; run "$writer" $base unlink f; crash --keep 0; is f 10000 a
start; run "$writer" $base unlink f sync .; crash --keep 0; is f absent
start; run "$writer" $base create g write g 0 9 b sync g rename g f; crash --keep 0
is f 10000 a; is g absent
start; run "$writer" $base create g write g 0 9 b sync g exchange g f sync .; crash --keep 0
is f 9 b; is g 10000 a
start; run "$writer" mkdir d create d/f write d/f 0 9 a sync d/f sync d; crash --keep 0; is d absent
start; run "$writer" mkdir d create d/f write d/f 0 9 a sync d/f sync d sync .; crash --keep 0
is d/f 9 a
start; run "$writer" mkdir d sync . create f write f 0 9 a sync f rename f d/f sync d; crash --keep 0
is f absent; is d/f 9 a
start; run "$writer" $base link f g symlink f s sync . unlink f sync .; crash --keep 0
is g 10000 a; is f absent; [ "$(readlink "$dir/s")" = f ] || wrong "the link"
# An inode number that is used again is another file.
start; run "$writer" $base unlink f sync . create f write f 0 9 b sync f sync .; crash --keep 0; is f 9 b
# stdio.
start; run "$writer" stdio f hello sync .; crash --keep 0; printf hello | cmp -s - "$dir/f" || wrong stdio
# Permission bits live on.
start; run "$writer" create f sync .; crash --keep 0
[ "$(stat -c %a "$dir/f")" = 640 ] || wrong "mode"

# Threads: the pages written synchronously are there, whatever the others' fate.
start; run "$writer" create f sync . threads f 16; crash --keep 128 --seed 3
for page in 0 2 4 6 8 10 12 14; do
    head -c $(((page + 1) * 4096)) "$dir/f" | tail -c 4096 | tr -d Z | wc -c | grep -qx 0 ||
        wrong "page $page"
done

# By many seeds: flushed bytes always there, each unflushed page old or new, and some of each seen.
old=0 new=0
for seed in $(seq 1 60); do
    start; run "$writer" $base write f 4096 4096 b; crash --seed "$seed"
    [ "$(wc -c <"$dir/f")" = 10000 ] || wrong "size by seed $seed"
    [ "$(tr -d ab <"$dir/f" | wc -c)" = 0 ] || wrong "bytes by seed $seed"
    case $(head -c 8192 "$dir/f" | tail -c 4096 | tr -s ab) in
    a) old=$((old + 1)) ;;
    b) new=$((new + 1)) ;;
    *) wrong "a torn page by seed $seed" ;;
    esac
done
[ "$old" -gt 5 ] && [ "$new" -gt 5 ] || wrong "$old old pages and $new new ones in 60"
# Of renames in one folder the first few, in order: never the second without the first.
for seed in $(seq 1 40); do
    start; run "$writer" $base rename f g rename g h; crash --seed "$seed" --keep 128
    [ "$(ls "$dir" | wc -l)" = 1 ] && [ "$(wc -c <"$dir"/[fgh])" = 10000 ] || wrong "names by seed $seed"
done
# The same seed gives the same.
start; run "$writer" $base write f 0 9000 b rename f g; cp -r "$dir" "$folder/dir2"
cp -r "$image" "$folder/image2"
crash --seed 7; "$restore" crash --seed 7 "$folder/dir2" "$folder/image2" >/dev/null
diff -r "$dir" "$folder/dir2" || wrong "the same seed, another result"

# Faults.
start; run env LOSSY_KILL_AFTER=3 "$writer" create f write f 0 9 a sync f sync .; crash --keep 256
is f 9 a
start; run env LOSSY_FAIL=1:EIO:sync "$writer" create f write f 0 9 a sync f sync .
[ "$said" = "sync: Input/output error" ] || wrong "the failed flush said: $said"
crash --keep 0; is f 0 a
# After a failed flush the bytes count as clean: a second flush saves nothing.
start; run env LOSSY_FAIL=1:EIO:sync "$writer" create f write f 0 9 a sync f sync f sync .
crash --keep 256; [ "$(tr -d '\0' <"$dir/f" | wc -c)" = 0 ] || wrong "a second flush saved lost bytes"
start; run env LOSSY_FAIL=2+:ENOSPC:write "$writer" create f write f 0 9 a write f 0 9 b write f 0 9 c
[ "$(printf '%s\n' "$said" | grep -c 'write: No space left')" = 2 ] || wrong "ENOSPC: $said"
crash --keep 256; is f 9 a

# The store's own logs are emptied where that is asked for, and there alone.
start
run "$writer" create CURRENT create 1.log write 1.log 0 9 a sync 1.log mkdir d create d/2.log \
    write d/2.log 0 9 a sync d/2.log sync d sync .
crash --keep 0 --drop-store-logs; is 1.log 0 a; is d/2.log 9 a

[ "$failures" = 0 ]
