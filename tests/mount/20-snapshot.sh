#!/bin/sh
# The past: a run of changes is recorded, and .snapshot/REVISION shows each of many revisions as the
# live tree was then, when looked at and when copied out by cp -a: names, types, modes, owners, sizes,
# times of files, links, bytes.
. "$(dirname "$0")/lib.sh"
changes=300 looks=25
[ -z "$FULL" ] || { changes=2000 looks=50; }
start_mount
live=$mnt/app
mkdir "$live" "$work/at"

look() { # folders' own times are of the live tree
    (cd "$1" && find . -mindepth 1 \( -type d -printf '%P d %m %U %G\n' \
        -o -printf '%P %y %m %U %G %T@ %s %l\n' \) | sort)
}
draw() { printf '%s %s' "$change" "$2" | cksum | awk -v below="$1" '{ print $1 % below }'; }

change_something() {
    file=$live/d$(draw 5 folder)/f$(draw 12 file)
    mkdir -p "${file%/*}"
    case $(draw 10 kind) in
    0 | 1 | 2) head -c "$(draw 3000 size)" /dev/zero | tr '\0' "$(draw 10 letter)" >"$file" ;;
    3 | 4) echo "line $change" >>"$file" ;;
    5) rm -f "$file" ;;
    6) [ ! -e "$file" ] || mv -T "$file" "$live/d0/moved$(draw 3 to)" 2>/dev/null || mkdir -p "$live/d0" ;;
    7) ln -sfn "target $change" "$live/link$(draw 3 link)" ;;
    8) [ ! -d "$live/d1" ] || { rm -rf "$live/e1" && mv -T "$live/d1" "$live/e1"; } ;;
    9) echo "$change" >"$work/new" && cp "$work/new" "$file.new" && mv "$file.new" "$file" ;;
    esac
}

# In each stretch of changes one is drawn; the next one that made a revision is recorded.
every=$((changes / looks))
change=0 is_due=
while [ "$change" -lt "$changes" ]; do
    [ $((change % every)) != 0 ] || drawn=$((change + 1 + $(draw "$every" look)))
    change=$((change + 1))
    change_something
    [ "$change" != "$drawn" ] || is_due=yes
    at=$(revision)
    if [ -n "$is_due" ] && [ ! -e "$work/at/$at" ]; then
        look "$live" >"$work/at/$at.names"
        cp -a "$live" "$work/at/$at"
        is_due=
    fi
done

compare() {
    for tree in "$work"/at/*.names; do
        at=$(basename "$tree" .names)
        past=$mnt/.snapshot/$at/app
        look "$past" | diff "$tree" - >"$work/diff" || wrong "$1: revision $at: $(head -n 5 "$work/diff")"
        diff -r --no-dereference "$work/at/$at" "$past" >"$work/diff" 2>&1 ||
            wrong "$1: bytes at revision $at: $(head -n 5 "$work/diff")"
        rm -rf "$work/copy"
        cp -a "$past" "$work/copy"
        look "$work/copy" | diff "$tree" - >"$work/diff" ||
            wrong "$1: a copy of revision $at: $(head -n 5 "$work/diff")"
        diff -r --no-dereference "$work/at/$at" "$work/copy" >"$work/diff" 2>&1 ||
            wrong "$1: bytes of a copy of revision $at: $(head -n 5 "$work/diff")"
        # Looking from a folder within the tree is the same past.
        diff -r --no-dereference "$past" "$live/.snapshot/$at" >"$work/diff" 2>&1 ||
            wrong "$1: from within, at $at: $(head -n 5 "$work/diff")"
    done
}
recorded=$(ls -d "$work"/at/*.names | wc -l)
[ "$recorded" -ge $((looks - 1)) ] || wrong "only $recorded of $looks revisions were recorded"
before=$(revision)
compare "at once"
is "$before" "$(revision)" "the revision after looking"
kill_mount
start_mount
compare "after a kill"
figure "$changes changes, $before revisions: $recorded of them copied out by cp -a and compared, twice"

# The past does not change, and there is no future.
at=$(basename "$(ls "$work"/at/*.names | head -n 1)" .names)
refuses "read-only" touch "$mnt/.snapshot/$at/app/new"
refuses "read-only" sh -c "echo x >'$mnt/.snapshot/$at/new'"
refuses "no such file" ls "$mnt/.snapshot/$((before + 1000))"
refuses "no such file" ls "$mnt/.snapshot/nonsense"
cp -a "$mnt/.snapshot/$at/app" "$mnt/restored"
diff -r --no-dereference "$work/at/$at" "$mnt/restored" || wrong "restored by cp -a"

# What is closed today is closed in the past, for whom it is closed today; ls -l says what stat says.
stop_mount
chmod 755 "$work"
start_mount -o allow_other
plain() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
if optional setpriv; then
    mkdir "$mnt/open" "$mnt/open/folder"
    for name in file folder/file gone; do echo "$name" >"$mnt/open/$name"; done
    past=$mnt/.snapshot/$(revision)/open
    for name in file folder/file gone; do is "$name" "$(plain cat "$past/$name")" "$name of the past"; done
    chmod 600 "$mnt/open/file"
    chmod 700 "$mnt/open/folder"
    rm "$mnt/open/gone"
    refuses 'permission denied' plain cat "$past/file"
    refuses 'permission denied' plain cat "$past/folder/file"
    refuses 'permission denied' plain ls "$past/folder"
    at=${past%/open}
    refuses 'permission denied' plain cat "$mnt/open/.snapshot/${at##*/}/folder/file"
    is gone "$(plain cat "$past/gone")" "a file that is gone today"
    is file "$(cat "$past/file")" "the file, for root"
    is '-rw------- file drwx------ folder -rw-r--r-- gone' \
        "$(echo $(ls -l "$past" | awk 'NR > 1 { print substr($1, 1, 10), $NF }'))" "what ls -l shows"
    is '600 700 644' "$(echo $(stat -c %a "$past/file" "$past/folder" "$past/gone"))" "what stat shows"
    chmod 644 "$mnt/open/file"
    is file "$(plain cat "$past/file")" "the file, opened again"
    rm -r "$mnt/open"
fi

# Forgetting: what lies before the compaction is gone, what is after is not.
middle=$(ls "$work"/at/*.names | sed -n "$((looks / 6 + 2))p")
middle=$(basename "$middle" .names)
if "$program" compact --data "$data" "$middle" >"$work/compact" 2>&1; then
    for tree in "$work"/at/*.names; do
        at=$(basename "$tree" .names)
        if [ "$at" -ge "$middle" ]; then
            look "$mnt/.snapshot/$at/app" | diff "$tree" - >/dev/null || wrong "revision $at after a compaction at $middle"
        elif ls "$mnt/.snapshot/$at" >/dev/null 2>&1; then
            wrong "revision $at is still there after a compaction at $middle"
        fi
    done
else
    wrong "compact: $(cat "$work/compact")"
fi
finish
