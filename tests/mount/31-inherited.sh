#!/bin/sh
# Descriptors that several processes share: the file is published once, whole, when the program that
# opened it is done with it; and what was published is there when the shell goes on.
. "$(dirname "$0")/lib.sh"
need_command python3
torn=$(compiled torn)
start_mount
file=$mnt/f

cases=0
once() { # text, command: published in one step from "old" to this text, in one commit
    printf 'old\n' >"$file"
    before=$(revision)
    rm -f "$work/among"
    "$torn" among "$file" 30 "$work/stop" "$(printf 'old\n.')" "$(printf '%b.' "$1")" >"$work/among" 2>&1 &
    reader=$!
    until [ -s "$work/among" ]; do sleep 0.01; done
    sh -c "$2" >"$work/out" 2>&1 || wrong "$2: status $?: $(cat "$work/out")"
    printf '%b' "$1" | cmp -s - "$file" || wrong "$2: gave $(head -c 100 "$file")"
    is 1 $(($(revision) - before)) "commits of: $2"
    : >"$work/stop"
    wait "$reader" || wrong "$2: a reader saw $(cat "$work/among")"
    rm -f "$work/stop"
    cases=$((cases + 1))
}
cd "$mnt"
once 'a\nb\nc\n' '( echo a; /bin/echo b; echo c ) >f'
once 'a\nc\n' '( echo a; sleep 1; echo c ) >f'
once 'a\nb\nc\n' '{ echo a; /bin/echo b; /bin/echo c; } >f'
once 'b\n' '/bin/echo b >f'
once 'a\nb\nc\n' 'printf "a\nb\nc\n" | while read -r x; do echo "$x"; done >f'
once 'a\nb\n' 'sh -c "echo a; /bin/echo b" >f'
if optional bash; then
    once 'a\nb\nc\n' 'bash -c "( echo a; /bin/echo b; echo c ) >f"'
    once 'a\nb\n' 'bash -c "cat <(echo a) <(echo b) >f"'
fi
once 'parent\nchild\nparent\n' 'python3 -c "
import os
f = os.open(\"f\", os.O_WRONLY | os.O_TRUNC)
os.write(f, b\"parent\\n\")
pid = os.fork()
if pid == 0:
    os.write(f, b\"child\\n\")
    os.close(f)
    os._exit(0)
os.waitpid(pid, 0)
os.write(f, b\"parent\\n\")
os.close(f)"'
# Handed over: the parent closes without having written; the child's save is there when wait returns.
once 'from a child\n' 'python3 -c "
import subprocess
f = open(\"f\", \"w\")
p = subprocess.Popen([\"sh\", \"-c\", \"sleep 0.3; echo from a child\"], stdout=f)
f.close()
p.wait()
assert open(\"f\").read() == \"from a child\\n\", open(\"f\").read()"'
once 'one\ntwo\n' 'python3 -c "
import subprocess
with open(\"f\", \"w\") as f:
    subprocess.run([\"echo\", \"one\"], stdout=f)
    subprocess.run([\"echo\", \"two\"], stdout=f)"'
# Appending: what every process adds is there, in whole lines.
: >"$file"
workers=
for worker in 1 2 3 4; do
    sh -c "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo worker $worker line \$i >>f; done" &
    workers="$workers $!"
done
# shellcheck disable=SC2086
wait $workers
is 80 "$(sort -u f | grep -cE '^worker [1-4] line [0-9]+$')" "appended lines"
is 80 "$(wc -l <f)" "lines in all"
# A program killed in the middle of its save: its bytes are its own affair, but the file is whole.
printf 'old\n' >f
python3 -c "
import os, signal
f = os.open('f', os.O_WRONLY | os.O_TRUNC)
os.write(f, b'half')
os.kill(os.getpid(), signal.SIGKILL)" || true
sleep 0.3
case $(cat f) in
old | half) ;;
*) wrong "after a kill: $(cat f)" ;;
esac
cd /
figure "$cases cases of inherited descriptors, each one commit and no half"
finish
