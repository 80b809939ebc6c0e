#!/bin/sh
# What another host changes is heard by who watches here: the events that a local change would give, once.
# A command through the member's socket is such a change: the mount does not know it from another host's.
. "$(dirname "$0")/lib.sh"
start_mount

concordfs() { # the mount names the member
    command=$1
    shift
    "$program" "$command" --data "$mnt" "$@" >"$work/out"
}
heard=$work/heard
watcher=
watch() { # PATH..
    rm -f "$heard" "$work/ready"
    : >"$heard"
    (cd "$mnt" && exec "$(compiled inotify)" "$heard" "$work/ready" "$@") &
    watcher=$!
    until [ -e "$work/ready" ]; do
        kill -0 "$watcher" || die "nobody watches"
        sleep 0.01
    done
}
# Every event has been heard once a later one was: the last line is about this name.
hears() { # ABOUT, then the lines on standard input
    cat >"$work/wanted"
    concordfs put /dir/end 1
    tries=0
    until grep -q 'dir/end ' "$heard" || [ "$tries" -gt 500 ]; do
        tries=$((tries + 1))
        sleep 0.01
    done
    grep -v 'dir/end ' "$heard" >"$work/got" || true
    diff "$work/wanted" "$work/got" >"$work/diff" || wrong "$1: $(cat "$work/diff")"
    kill "$watcher"
    wait "$watcher" 2>/dev/null || true
    concordfs del /dir/end
}

mkdir "$mnt/dir"
echo old >"$mnt/dir/file"

watch dir ./dir/file
concordfs put /dir/file new
hears "a content that changed" <<'END'
dir/file open
./dir/file open
dir/file modify
./dir/file modify
dir/file close_write
./dir/file close_write
END
is new "$(cat "$mnt/dir/file")" "the content after it was heard"

# Names nobody here has ever looked at, and one that has a directory of its own.
watch dir
concordfs put /dir/fresh 1
concordfs put /dir/empty ''
concordfs put /dir/deep/er 1
concordfs put /dir/deep/est 1
concordfs del /dir/fresh
concordfs del /dir/deep/er
concordfs del /dir/deep/est
hears "names that came and went" <<'END'
dir/fresh create
dir/fresh open
dir/fresh modify
dir/fresh close_write
dir/empty create
dir/empty open
dir/empty close_write
dir/deep create dir
dir/fresh delete
dir/deep delete dir
END
[ ! -e "$mnt/dir/fresh" ] || wrong "fresh is there again"
[ ! -e "$mnt/dir/deep" ] || wrong "deep is there again"
[ -e "$mnt/dir/empty" ] || wrong "empty is gone"

# Whoever watches a directory need not have looked at what is in it.
elsewhere() { "$(compiled elsewhere)" "$mnt" "$@" || wrong "elsewhere: $*"; }
concordfs put /unseen/file old
concordfs put /unseen/other old
watch dir unseen
concordfs put /unseen/file new
elsewhere chmod /unseen/other 600
hears "changes of files that nobody here has looked at" <<'END'
unseen/file open
unseen/file modify
unseen/file close_write
unseen/other attrib
END
is 600 "$(stat -c %a "$mnt/unseen/other")" "the mode of a file that was not looked at"

# Other things than files; and records.
watch dir ./dir/file
elsewhere mkdir /dir/folder
elsewhere fifo /dir/pipe
elsewhere symlink /dir/link target
elsewhere chmod /dir/file 640
elsewhere mkdir /dir/folder
elsewhere rmdir /dir/folder
hears "other things than files" <<'END'
dir/folder create dir
dir/pipe create
dir/link create
dir/file attrib
./dir/file attrib
dir/folder attrib dir
dir/folder delete dir
END
is 640 "$(stat -c %a "$mnt/dir/file")" "the mode that was heard of"
is target "$(readlink "$mnt/dir/link")" "the link that was heard of"
[ -p "$mnt/dir/pipe" ] || wrong "no pipe"
[ ! -e "$mnt/dir/folder" ] || wrong "the folder is there again"
chmod 644 "$mnt/dir/file"

# Renames are renames, of files known here and of others, over others, between directories, of folders.
mkdir "$mnt/away"
concordfs put /dir/a 1
concordfs put /dir/b 2
concordfs put /dir/tree/x 3
cat "$mnt/dir/a" >"$work/out"
watch dir away
elsewhere rename /dir/a /dir/c
elsewhere rename /dir/b /dir/c
elsewhere rename /dir/c /away/c
elsewhere rename /dir/tree /dir/wood
elsewhere exchange /away/c /dir/file
hears "renames" <<'END'
dir/a moved_from
dir/c moved_to
dir/b moved_from
dir/c moved_to
dir/c moved_from
away/c moved_to
dir/tree moved_from dir
dir/wood moved_to dir
away/c moved_from
dir/file moved_to
dir/file moved_from
away/c moved_to
END
is 2 "$(cat "$mnt/dir/file")" "the file after the exchange"
is new "$(cat "$mnt/away/c")" "the other after the exchange"
is 3 "$(cat "$mnt/dir/wood/x")" "a file of the folder that moved"
is "c" "$(ls "$mnt/away")" "the names of away"
for name in a b c tree; do [ ! -e "$mnt/dir/$name" ] || wrong "$name is still there"; done

# A program is not opened for writing: somebody may want to run it.
cat >"$mnt/dir/run" <<'END'
#!/bin/sh
exit 0
END
chmod 755 "$mnt/dir/run"
watch dir
"$program" get --data "$mnt" --print-value-only /dir/run | "$program" put --data "$mnt" /dir/run >"$work/out"
hears "a program that changed" <<'END'
dir/run modify
END
"$mnt/dir/run" || wrong "it does not run"

# Our own changes are told by the kernel, once.
watch dir
echo mine >"$mnt/dir/own"
mv "$mnt/dir/own" "$mnt/dir/other"
rm "$mnt/dir/other"
hears "own changes" <<'END'
dir/own create
dir/own open
dir/own modify
dir/own close_write
dir/own moved_from
dir/other moved_to
dir/other delete
END

# Nobody watches: nothing is opened, and the mount stays as it was.
concordfs put /dir/unseen 1
is 1 "$(cat "$mnt/dir/unseen")" "what nobody watched"

# Who is in a directory without a record keeps knowing where he is while names come below it.
concordfs put /plain/a 1
(cd "$mnt/plain" && concordfs put /plain/b 1 && readlink /proc/self/cwd >"$work/cwd")
is "$mnt/plain" "$(cat "$work/cwd")" "the working directory"

# A file that is watched while somebody holds its old version: the watch is on a node of its own by then.
if [ "$(awk '/CapEff/ { print $2 }' /proc/self/status)" != 0 ]; then
    exec 9<"$mnt/dir/file"
    watch dir/file
    concordfs put /dir/file newer
    concordfs put /dir/file newest
    tries=0
    until [ "$(grep -c close_write "$heard")" -ge 2 ] || [ "$tries" -gt 200 ]; do
        tries=$((tries + 1))
        sleep 0.01
    done
    is 2 "$(grep -c close_write "$heard")" "close_write of a node whose name has another one"
    exec 9<&-
    kill "$watcher"
    wait "$watcher" 2>/dev/null || true
fi

# Another mount lies on top of what is watched: nothing there is touched, be it named as what changed below.
outside=$work/outside
mkdir "$outside"
echo 1 >"$outside/a"
echo 2 >"$outside/c"
ls -l --time-style=full-iso "$outside" >"$work/outside.before"
concordfs put /covered/a 1
concordfs put /covered/c 1
ls "$mnt/covered" >"$work/out"
watch dir covered
mount --bind "$outside" "$mnt/covered"
concordfs put /covered/c 2
elsewhere rename /covered/a /covered/b
hears "changes below another mount" </dev/null
umount "$mnt/covered"
ls -l --time-style=full-iso "$outside" | diff "$work/outside.before" - >"$work/diff" ||
    wrong "a replay went outside: $(cat "$work/diff")"
is "b c" "$(echo $(ls "$mnt/covered"))" "the names below the other mount"
stop_mount

# A mount that nobody may change: changes come from elsewhere alone.
start_mount -o ro
echo 1 >"$work/made"
for command in "touch $mnt/dir/file" "sh -c 'echo x >$mnt/dir/file'" "sh -c 'echo x >$mnt/dir/none'" \
    "mkdir $mnt/dir/none" "rm $mnt/dir/file" "mv $mnt/dir/file $mnt/dir/none" "chmod 600 $mnt/dir/file" \
    "ln -s x $mnt/dir/none" "mkfifo $mnt/dir/none" "rmdir $mnt/away" "cp $work/made $mnt/dir/file"; do
    refuses 'read-only' sh -c "$command"
done
watch dir
concordfs put /dir/file other
concordfs put /dir/late 1
elsewhere rename /dir/late /dir/later
hears "changes of others on a mount that is read-only" <<'END'
dir/file open
dir/file modify
dir/file close_write
dir/late create
dir/late open
dir/late modify
dir/late close_write
dir/late moved_from
dir/later moved_to
END
is other "$(cat "$mnt/dir/file")" "the content on a mount that is read-only"
concordfs del /dir/later
stop_mount

# Not wanted.
start_mount -o inotify=off
watch dir ./dir/file
concordfs put /dir/file quiet
concordfs put /dir/quiet 1
is quiet "$(cat "$mnt/dir/file")" "the content"
rm "$mnt/dir/quiet"
tries=0
until grep -q 'dir/quiet delete' "$heard" || [ "$tries" -gt 500 ]; do
    tries=$((tries + 1))
    sleep 0.01
done
! grep -v 'dir/file open$\|dir/quiet delete$' "$heard" || wrong "heard although inotify=off"
kill "$watcher"
finish
