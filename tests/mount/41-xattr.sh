#!/bin/sh
# Extended attributes: set, read, list, replace, remove; they stay with their file through renames,
# restarts and copies, and an own commit each.
. "$(dirname "$0")/lib.sh"
need_command setfattr getfattr python3
start_mount
cd "$mnt"
echo x >f
mkdir d
setfattr -n user.colour -v red f
setfattr -n user.empty f
setfattr -n user.binary -v 0x00ff00 f
setfattr -n user.on -v folder d
is red "$(getfattr --only-values -n user.colour f)" "an attribute"
is 'user.binary user.colour user.empty' "$(getfattr f 2>/dev/null | grep user | sort | tr '\n' ' ' | sed 's/ $//')" "the list"
is folder "$(getfattr --only-values -n user.on d)" "an attribute of a folder"
setfattr -n user.colour -v blue f
is blue "$(getfattr --only-values -n user.colour f)" "a replaced attribute"
setfattr -x user.empty f
refuses "no such attribute" getfattr -n user.empty f
refuses "no such attribute" setfattr -x user.never f
is x "$(cat f)" "the content"

python3 - f <<'END' || wrong "flags and sizes"
import errno, os, sys
path = sys.argv[1]
def fails(error, call, *arguments):
    try:
        call(*arguments)
    except OSError as caught:
        assert caught.errno == error, (error, caught)
    else:
        raise AssertionError(arguments)
fails(errno.EEXIST, os.setxattr, path, "user.colour", b"x", os.XATTR_CREATE)
fails(errno.ENODATA, os.setxattr, path, "user.none", b"x", os.XATTR_REPLACE)
os.setxattr(path, "user.colour", b"green", os.XATTR_REPLACE)
os.setxattr(path, "user.new", b"n", os.XATTR_CREATE)
assert os.getxattr(path, "user.colour") == b"green"
os.setxattr(path, "user.big", b"b" * 10000)
assert os.getxattr(path, "user.big") == b"b" * 10000
fails(errno.E2BIG, os.setxattr, path, "user.huge", b"b" * 65537)
fails(errno.ERANGE, os.setxattr, path, "user." + "n" * 255, b"")
os.removexattr(path, "user.big")
descriptor = os.open(path, os.O_RDONLY)
os.setxattr(descriptor, "user.fd", b"by descriptor")
assert sorted(os.listxattr(descriptor)) == ["user.binary", "user.colour", "user.fd", "user.new"]
END

mv f g
mv d e
echo more >>g
is green "$(getfattr --only-values -n user.colour g)" "after a rename and an append"
echo new >g
is green "$(getfattr --only-values -n user.colour g)" "after a rewrite"
is folder "$(getfattr --only-values -n user.on e)" "of a renamed folder"
cp -a g copy
is green "$(getfattr --only-values -n user.colour copy)" "of a copy"
echo n >n && mv n g
refuses "no such attribute" getfattr -n user.colour g
rm copy && echo again >copy
refuses "no such attribute" getfattr -n user.colour copy
setfattr -n user.kept -v yes copy
at=$(revision)
setfattr -n user.kept -v no copy
cd /
kill_mount
start_mount
is no "$(getfattr --only-values -n user.kept "$mnt/copy")" "after a kill"
is yes "$(getfattr --only-values -n user.kept "$mnt/.snapshot/$at/copy")" "in the past"
finish
