#!/bin/sh
# Owners and modes count, for root and for others: who may read, write, enter, remove and change.
. "$(dirname "$0")/lib.sh"
need_command setpriv
chmod 755 "$work"
start_mount -o allow_other
mkdir "$work/local"
chmod 755 "$work/local" "$mnt"

as() { # uid, command
    setpriv --reuid "$1" --regid "$1" --clear-groups sh -c "$2"
}
# Each step is done in a local folder and in the mount: output and status must be the same.
both() {
    for folder in "$work/local" "$mnt"; do
        (cd "$folder" && if [ "$1" = 0 ]; then sh -c "$2"; else as "$1" "$2"; fi) >"$work/out" 2>&1 &&
            status=0 || status=$?
        sed "s#$folder#.#g" "$work/out" >"$work/out.${folder##*/}"
        echo "status $status" >>"$work/out.${folder##*/}"
    done
    diff "$work/out.local" "$work/out.mnt" >"$work/diff" || wrong "uid $1: $2: $(cat "$work/diff")"
}
state='find . -mindepth 1 -printf "%p %y %m %U %G\n" | sort; '

both 0 'mkdir open shared secret own; chmod 777 open; chmod 1777 shared; chmod 700 secret; chown 1000:1000 own'
both 0 'echo root >file; echo secret >secret/f; chmod 600 secret/f; echo x >open/x; chmod 640 file'
both 0 "$state"
both 1000 'cat file'
both 1000 'cat secret/f'
both 1000 'ls secret'
both 1000 'echo new >new'
both 1000 'echo mine >open/mine; cat open/mine'
both 1000 'echo over >open/x'
both 1000 'rm -f open/x; mkdir open/d; echo y >own/y; chmod 600 own/y'
both 1000 'echo sticky >shared/s'
both 2000 'rm -f shared/s'
both 2000 'mv shared/s shared/t'
both 2000 'cat own/y'
both 2000 'chmod 777 own/y'
both 1000 'chmod 4755 own/y; chown 2000 own/y'
both 0 "$state"
both 2000 'touch -d 2020-01-01 own/y'
both 1000 'touch -d 2020-01-01 own/y; stat -c %Y own/y'
both 0 'chown 2000:3000 open/mine; chmod 2750 open/d; chgrp 4000 open/d; echo z >open/d/z; mkdir open/d/below'
both 0 "$state"
both 1000 'cat open/d/z'
# A write by another clears the set-uid bit, as does a change of owner.
both 0 'echo p >p; chmod 6777 p'
both 1000 'echo q >>p; stat -c %a p'
both 0 'chmod 6755 p; chown 1000 p; stat -c %a p'
both 0 'umask 077; echo m >m; mkdir n; umask 027; echo o >o; ls -ld --time-style=+ m n o | cut -c1-10'
both 0 'printf "#!/bin/sh\necho run\n" >run; chmod 755 run; ./run; chmod 644 run; ./run'
both 0 'test -w file && test -x open && ! test -x file && echo yes'
both 1000 'test -r file || test -w open && echo only open'
both 0 'rm -rf ./* && ls -A'
finish
