#!/bin/sh
# .fs/watch: a line for each change, read by several at once, polled, waited for, resumed.
. "$(dirname "$0")/lib.sh"
start_mount

concordfs() { # the mount names the member
    command=$1
    shift
    "$program" "$command" --data "$mnt" "$@" >"$work/out"
}
lines_from() { # REVISION COUNT
    for _ in $(seq "$2"); do
        IFS= read -r line
        printf '%s\n' "$line"
    done <"$mnt/.fs/watch?rev=$1" >"$work/late"
}
plain() { sed 's/"time":"[^"]*",//' "$1"; }

ls "$mnt/.fs" | grep -qx watch || wrong ".fs/watch is not listed"
echo old >"$mnt/file"
before=$(revision)
cat "$mnt/.fs/watch" >"$work/one" &
one=$!
while IFS= read -r line; do printf '%s\n' "$line"; done <"$mnt/.fs/watch" >"$work/two" &
two=$!
"$(compiled polled)" "$mnt/.fs/watch" "$work/ready" 6 >"$work/three" &
three=$!
until [ -e "$work/ready" ]; do sleep 0.01; done
# The other two have opened it by the time that they hear of a change; what came before is not theirs.
until [ -s "$work/one" ] && [ -s "$work/two" ] && ! kill -0 "$three" 2>/dev/null; do
    echo probe >"$mnt/probe"
    sleep 0.01
done
wait "$three" || wrong "polling ended with $?"
rm "$mnt/probe"

first=$(($(revision) + 1))
echo new >"$mnt/file"
chmod 600 "$mnt/file"
mkdir "$mnt/folder"
mv "$mnt/file" "$mnt/folder/name"
concordfs put /folder/other 1
mv "$mnt/folder" "$mnt/moved"
rm -r "$mnt/moved"
last=$(revision)
cat >"$work/wanted" <<END
{"revision":$first,"kind":"modify","path":"file"}
{"revision":$((first + 1)),"kind":"attrib","path":"file"}
{"revision":$((first + 2)),"kind":"create","path":"folder","directory":true}
{"revision":$((first + 3)),"kind":"rename","path":"folder/name","from":"file"}
{"revision":$((first + 4)),"kind":"create","path":"folder/other"}
{"revision":$((first + 5)),"kind":"rename","path":"moved","from":"folder","directory":true}
END
for reader in one two; do
    tries=0
    until grep -q "\"revision\":$last," "$work/$reader" || [ "$tries" -gt 1000 ]; do
        tries=$((tries + 1))
        sleep 0.01
    done
    plain "$work/$reader" | sed -n "/\"revision\":$first,/,/\"path\":\"moved\"/p" >"$work/got"
    diff "$work/wanted" "$work/got" >"$work/diff" || wrong "$reader: $(cat "$work/diff")"
    is 3 "$(grep -c '"kind":"delete","path":"moved' "$work/$reader")" "what rm -r did, for $reader"
done
if optional jq; then
    is "$first" "$(jq -s "map(select(.path == \"file\" and .kind == \"modify\"))[-1].revision" "$work/one")" \
        "what jq reads"
fi

# One who comes later goes on where another stopped; a signal ends who waits.
lines_from "$first" 6
plain "$work/late" >"$work/got"
diff "$work/wanted" "$work/got" >"$work/diff" || wrong "resumed: $(cat "$work/diff")"
kill "$one" "$two"
wait "$one" "$two" 2>/dev/null || true
status=0
timeout -s INT 0.2 cat "$mnt/.fs/watch" >"$work/out" || status=$?
is 124 "$status" "the status of one who waits and is interrupted"

# What is forgotten is said to be.
concordfs compact "$last"
lines_from "$before" 1
is "{\"revision\":$before,\"kind\":\"lost\",\"resume\":$last}" "$(cat "$work/late")" "what is lost"

# It is no file to write.
refuses 'read-only' sh -c "echo x >'$mnt/.fs/watch'"
refuses 'no such file' cat "$mnt/.fs/watch?rev=0"

# It tells names of folders that are closed to others, so it is closed to them.
is 400 "$(stat -c %a "$mnt/.fs/watch")" "the mode"
is 400 "$(stat -c %a "$mnt/.fs/watch?rev=1")" "the mode of one that begins earlier"
stop_mount
chmod 755 "$work"
start_mount -o allow_other
if optional setpriv; then
    for name in watch 'watch?rev=1'; do
        refuses 'permission denied' setpriv --reuid 1000 --regid 1000 --clear-groups cat "$mnt/.fs/$name"
    done
    is "$(revision)" "$(setpriv --reuid 1000 --regid 1000 --clear-groups cat "$mnt/.fs/revision")" \
        "the revision that everybody may read"
fi

# The mount ends although somebody reads.
cat "$mnt/.fs/watch" >"$work/one" 2>/dev/null &
one=$!
sleep 0.1
umount -l "$mnt"
"$program" stop --data "$data" >"$work/out" 2>&1 || wrong "stop: $(cat "$work/out")"
status=0
wait "$daemon" || status=$?
daemon=
is 0 "$status" "the daemon's status"
wait "$one" 2>/dev/null || true
finish
