#!/bin/sh
# Programs that edit files: vi, sed -i, patch, perl -i, install, dd, truncate, mktemp and mv.
. "$(dirname "$0")/lib.sh"
start_mount
mkdir "$work/local" "$mnt/there"

what_is_there() { (cd "$1" && find . -type f -printf '%P %m ' -exec md5sum {} \; | sort); }

both() { # a command that changes something, in a local folder and in one of the mount: the outcome is the same
    what_is_there "$work/local" >"$work/before"
    for folder in "$work/local" "$mnt/there"; do
        (cd "$folder" && eval "$1") >"$work/edit.log" 2>&1 || wrong "$1: $(cat "$work/edit.log")"
    done
    what_is_there "$work/local" >"$work/a"
    what_is_there "$mnt/there" >"$work/b"
    ! cmp -s "$work/before" "$work/a" || wrong "$1: changes nothing"
    diff "$work/a" "$work/b" || wrong "$1: names, modes or content"
    diff -r "$work/local" "$mnt/there" || wrong "$1: content"
}

both 'seq 1 2000 >f; chmod 640 f'
if optional vi; then
    both "printf '%s\n' '5d' '\$a' 'the last line' . wq | vi -es f"
    both "printf '%s\n' '1i' first . 'w' '2d' 'wq' | vi -es f"
    both "printf '%s\n' 'a' 'a new file' . wq | vi -es new"
    is "the last line" "$(tail -n 1 "$mnt/there/f")" "what vi wrote"
    silent "what vi left" find "$mnt" -name '*.sw?' -o -name '*~'
fi
both "sed -i 's/1/one/g' f"
both "sed -i.bak '2,4d' f"
both "perl -pi -e 's/one/1/' f"
both 'cp f g; echo extra >>g'
! optional patch || both 'diff -u f g >p; patch -s f p && rm p'
both 'install -m 755 g h; cp -f g h; cp --remove-destination g h'
both 'dd if=g of=d bs=100 count=3 seek=2 conv=notrunc 2>/dev/null; dd if=g of=d bs=1 count=5 seek=7 conv=notrunc,fsync 2>/dev/null'
both 'truncate -s 100 d; truncate -s +50 d; printf end >>d'
both 'temporary=$(mktemp ./tmp.XXXXXX); echo saved >"$temporary"; chmod 644 "$temporary"; mv "$temporary" saved'
both 'echo one >t; tee -a t <g >/dev/null; sort -o t t; sort -r t | head -n 5 >u'
both 'set -C; echo new >n1; ! echo again >n1; set +C; mv n1 n2; ln -sf n2 n3; cat n3 >n4; rm n3'
both 'for i in 1 2 3 4 5 6 7 8 9; do echo line $i >>log; done; : >empty; cat empty log >joined'
both 'exec 3<>rw; echo hello >&3; exec 3>&-; exec 3<>rw; printf HE >&3; exec 3>&-'
# An editor's save is one content for whoever reads beside it, and few commits.
before=$(revision)
echo 8080 >"$mnt/port"
is $((before + 1)) "$(revision)" "commits of echo"
before=$(revision)
cat /dev/null >"$mnt/port"
is $((before + 1)) "$(revision)" "commits of a truncation by cat"
before=$(revision)
cat "$mnt/port" "$mnt/there/f" >/dev/null
is "$before" "$(revision)" "commits of reading"
finish
