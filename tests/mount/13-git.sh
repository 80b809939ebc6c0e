#!/bin/sh
# git lives on the mount: clone, status, commit, branches, gc, fsck.
. "$(dirname "$0")/lib.sh"
need_command git
HOME=$work
GIT_CONFIG_NOSYSTEM=1
export HOME GIT_CONFIG_NOSYSTEM
git config --global user.name Someone
git config --global user.email someone@localhost
git config --global init.defaultBranch main
git config --global gc.auto 0

files=100
[ -z "$FULL" ] || files=1000
mkdir "$work/origin"
cd "$work/origin"
git init -q .
number=0
while [ "$number" -lt "$files" ]; do
    number=$((number + 1))
    mkdir -p "d$((number % 10))"
    seq 1 $((number * 3)) >"d$((number % 10))/f$number"
done
ln -s d1 link
git add . && git commit -q -m first
seq 1 50 >d1/f1 && git commit -qam second

start_mount
git clone -q "$work/origin" "$mnt/clone"
cd "$mnt/clone"
silent "status after the clone" git status --porcelain
diff -r --exclude=.git "$work/origin" "$mnt/clone" >"$work/diff" || wrong "$(head -n 5 "$work/diff")"
git fsck --strict >"$work/fsck" 2>&1 || wrong "fsck: $(cat "$work/fsck")"

git checkout -q -b work
echo more >>d2/f2
git rm -q d3/f3
git mv d4 moved
is 2 "$(git status --porcelain | grep -cE '^( M|D )')" "what status saw"
git commit -qam "a change"
git checkout -q main
silent "status on main" git status --porcelain
git merge -q work
git tag -a -m tagged v1
git gc -q 2>"$work/gc" || wrong "gc: $(cat "$work/gc")"
git fsck --strict >"$work/fsck" 2>&1 || wrong "fsck after gc: $(cat "$work/fsck")"
git push -q origin work 2>"$work/push" || wrong "push: $(cat "$work/push")"
is "$(git rev-parse work)" "$(git -C "$work/origin" rev-parse work)" "what was pushed"
git clone -q "$mnt/clone" "$mnt/clone2" || wrong "a clone within the mount"
git clone -q "$mnt/clone" "$work/back" || wrong "a clone out of the mount"
is "$(git rev-parse main)" "$(git -C "$work/back" rev-parse HEAD)" "what came back"

cd /
kill_mount
start_mount
cd "$mnt/clone"
git fsck --strict >"$work/fsck" 2>&1 || wrong "fsck after a kill: $(cat "$work/fsck")"
silent "status after a kill" git status --porcelain
finish
