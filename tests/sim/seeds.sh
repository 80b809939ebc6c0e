#!/bin/sh
# Some simulated runs, the same ones each time, and some of them twice; tests/sim.mk runs more.
simulate=$BUILDDIR/tests/sim/simulate
"$simulate" --seeds 40 --from 1 --no-shrink && "$simulate" --twice 5 --from 1
