#!/bin/sh
# Some simulated runs, the same ones each time, and some of them twice; then some on LevelDB, of which a few are
# never the same. tests/sim.mk runs more.
simulate=$BUILDDIR/tests/sim/simulate
"$simulate" --seeds 40 --from 1 --no-shrink && "$simulate" --twice 5 --from 1 || exit 1
folder=$(mktemp -d "$BUILDDIR/tests/sim/leveldb-XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
"$simulate" --seeds 8 --from 1 --leveldb "$folder" --no-shrink &&
    "$simulate" --seeds 4 --leveldb "$folder" --no-shrink
