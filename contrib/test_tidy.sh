#!/bin/sh
# Plants one violation of each rule in a small source folder, and wants tidy to find just these.
set -eu
tidy=$SRCDIR/contrib/tidy
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

plant() { # file, text: the file, and a .mk that names it
    mkdir -p "$folder/$(dirname "$1")"
    printf '%b\n' "$2" >"$folder/$1"
    printf 'x_SOURCES += %s\n' "$1" >>"$folder/all.mk"
}
clean() {
    rm -rf "$folder"
    mkdir "$folder"
    : >"$folder/all.mk"
}
wants() { # words that one line of tidy's must hold; "" for silence
    status=0
    said=$(sh "$tidy" "$folder") || status=$?
    if [ -z "$1" ]; then
        [ "$status" = 0 ] && [ -z "$said" ] && return
    else
        [ "$status" = 1 ] && [ "$(printf '%s\n' "$said" | wc -l)" = 1 ] &&
            printf '%s\n' "$said" | grep -q "$1" && return
    fi
    echo "wanted: ${1:-silence}; tidy said (status $status): $said"
    failures=$((failures + 1))
}
finds() { # file, text, words
    clean
    plant "$1" "$2"
    wants "$3"
}

finds proto/base/a.c '#include "proto/base/err.h"\n#include <stdio.h>\n#include "config.h"' ''
finds proto/base/a.c '#include "proto/kv.h"' 'a.c:1: direction: proto/base must not'
finds proto/a.c '#include "wal/wal.h"' direction
finds wal/a.c '#include "proto/kv.h"\n#include "wal/disk.h"\n#include "disk.h"' ''
finds wal/a.c '\n#include "mvcc/store.h"' 'a.c:2: direction: wal must not include "mvcc/store.h"'
finds mvcc/a.h '  #  include "wal/wal.h"' direction
finds cluster/raft/a.c '#include "proto/base/mem.h"\n#include "raft.h"' ''
finds cluster/raft/a.c '#include "proto/kv.h"' direction
finds cluster/raft/a.c '#include "cluster/node.h"' direction
finds cluster/a.c '#include "cluster/raft/raft.h"\n#include "wal/wal.h"\n#include "mvcc/store.h"' ''
finds cluster/a.c '#include "fs/op.h"' direction
finds cluster/a.c '#include "mvcc/store_internal.h"' 'is for mvcc alone'
finds fs/op.c '#include "proto/kv.h"' ''
finds fs/op.c '#include "cluster/node.h"' direction
finds fs/op.c '#include "mvcc/store.h"' direction
finds fs/main.c '#include "cluster/node.h"' ''
finds fs/cmd_mount.c '#include "cluster/node.h"' ''
finds wal/a.c '#include "tests/test.h"' direction
finds tests/a.c '#include "tests/test.h"\n#include "fs/op.h"\n#include "wal/wal_internal.h"' ''

finds wal/disk_uv.c '#include <uv.h>' ''
finds wal/disk.c '#include <uv.h>' 'library: <uv.h>'
finds mvcc/store.c '#include <leveldb/c.h>' library
finds proto/kv.c '#include "proto/schema/kv.pb-c.h"' library
finds proto/kv_pb.c '#include "proto/schema/kv.pb-c.h"\n#include <protobuf-c/protobuf-c.h>' ''
finds fs/kernel.c '#include <fuse_lowlevel.h>' library
finds fs/kernel.c '#include <fuse3/fuse.h>' library
finds proto/grpc.c '#include <nghttp2/nghttp2.h>' library

body='\n{\n    return a;\n}'
clean
plant wal/a.c "int wal_a(int a)$body\nstatic int wal_b(int a)$body"
plant tests/sim/b.c "static int wal_a(int a)$body\nint wal_b(int a)$body\nint sim_a(int a)$body"
wants ''
plant tests/sim/c.c "struct x *x(void);\nint wal_a(int a)$body"
wants 'tests/sim/c.c:2: simulator: wal_a is defined at wal/a.c:1'

clean
plant wal/a.c 'extern int wal_a;\nint wal_a(int a) { return a; }\nconst struct x wal_c = {\n};\nint *wal_d[2] = {0};'
plant tests/sim/b.c 'int wal_a(int a);\nextern const struct x wal_c;\nstatic int wal_c = 1;'
wants ''
for one in 'int wal_a(int a) { return a; }' 'struct x wal_c = {0};' 'int *wal_d[3] = {'; do
    plant tests/sim/c.c "$one"
    wants 'tests/sim/c.c:1: simulator: wal_. is defined at wal/a.c'
done

clean
plant wal/a.c 'int a;'
echo 'int b;' >"$folder/wal/b.c"
wants 'wal/b.c:1: dead file'
printf 'UNIT += tests/unit/test_c\nX = $(Y) wal/b.c\n' >>"$folder/all.mk"
mkdir -p "$folder/tests/unit"
echo 'int c;' >"$folder/tests/unit/test_c.c"
wants ''

clean
plant wal/a.c "$(yes 'int a;' | head -n 900)"
wants ''
echo 'int a;' >>"$folder/wal/a.c"
wants 'too long: 901 lines'

note=TO
finds fs/a.c "int a; /* ${note}DO: later */" 'fs/a.c:1: note'
finds fs/a.c "char path[] = \"a-XXXXXX\"; int m${note}DO;" ''
finds tests/a.sh "# FI${note#T}X" ''
finds tests/a.sh "# FIX""ME" note

[ "$failures" = 0 ]
