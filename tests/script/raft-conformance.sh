#!/bin/sh
# The raft core against the conversations of etcd-io/raft. They are data that stands beside this tree
# or where RAFT_TESTDATA says; without them there is nothing to compare with.
data=${RAFT_TESTDATA:-$SRCDIR/../shared/raft-testdata}
if ! [ -d "$data" ]; then
    echo "raft-conformance: no conversations in '$data' (set RAFT_TESTDATA)"
    [ "$CI" = true ] && exit 1
    exit 77
fi
unset REWRITE
count=0
status=0
for file in "$data"/interaction/*.txt "$data"/quorum/*.txt "$data"/confchange/*.txt; do
    [ -f "$file" ] || continue
    count=$((count + 1))
    "$BUILDDIR/tests/script/raft-script" -c "$file" || status=1
done
[ $count -gt 0 ] || { echo "raft-conformance: '$data' has no conversations"; exit 1; }
echo "raft-conformance: $count files, status $status"
exit $status
