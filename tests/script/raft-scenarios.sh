#!/bin/sh
# Our own conversations with the raft core; REWRITE=1 updates them.
status=0
for file in "$SRCDIR"/tests/script/raft/*.txt; do
    "$BUILDDIR/tests/script/raft-script" -c "$file" || status=1
done
exit $status
