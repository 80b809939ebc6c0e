#!/bin/sh
# What is no plain file: fifos, sockets, devices, symbolic links of all kinds; hard links are refused.
. "$(dirname "$0")/lib.sh"
need_command python3
start_mount
cd "$mnt"

mkfifo -m 620 pipe
is 'p 620' "$(find pipe -printf '%y %m')" "a fifo"
( echo through >pipe ) &
is through "$(cat pipe)" "through the fifo"
mv pipe moved
mknod null c 1 3
mknod disk b 7 200
is '1:3 7:c8' "$(stat -c %t:%T null disk | tr '\n' ' ' | sed 's/ $//')" "device numbers"
python3 -c "
import socket
s = socket.socket(socket.AF_UNIX)
s.bind('sock')
s.listen(1)
c = socket.socket(socket.AF_UNIX)
c.connect('sock')
c.send(b'hello')
assert s.accept()[0].recv(5) == b'hello'" || wrong "a socket"
is s "$(find sock -printf %y)" "a socket's type"

echo x >f
ln -s f link
ln -s "$mnt/f" absolute
ln -s link chain
ln -s loop loop
ln -s nowhere dangling
long=$(printf '%0*d' 4000 0)
ln -s "$long" long
ln -s "$(printf 'odd \001\377 bytes')" odd
is x "$(cat link)$(cat chain | tr -d x)$(cat absolute | tr -d x)" "through links"
is "$long" "$(readlink long)" "a long target"
is "$(printf 'odd \001\377 bytes')" "$(readlink odd)" "odd bytes in a target"
refuses "too many levels" cat loop
refuses "no such file" cat dangling
echo made >dangling
is made "$(cat nowhere)" "a file made through a link"
is 4000 "$(stat -c %s long)" "a link's size"
rm link
refuses "no such file" cat chain
is x "$(cat f)" "the file after its link was removed"
chown -h 1000:1000 chain
is 1000 "$(stat -c %u chain)" "a link's owner"
touch -h -d '2020-01-01 00:00:00' chain
is 1577836800 "$(TZ=UTC stat -c %Y chain)" "a link's time"

refuses "not permitted" ln f hard
is 1 "$(stat -c %h f)" "links of a file"
mkdir -p a/b c
is '3 2' "$(stat -c %h a c | tr '\n' ' ' | sed 's/ $//')" "links of folders"
refuses "not empty" rmdir a
refuses "is a directory" unlink a
refuses "not a directory" rmdir f
refuses "not a directory" cat f/x
find . -mindepth 1 -printf '%P %y %m %U %G %l\n' | sort >"$work/before"
cd /
kill_mount
start_mount
cd "$mnt"
find . -mindepth 1 -printf '%P %y %m %U %G %l\n' | sort | diff "$work/before" - || wrong "after a kill"
rm -rf ./*
silent "what is left" ls -A
cd /
finish
