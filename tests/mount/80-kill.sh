#!/bin/sh
# kill -9 at random moments under load, a few rounds of it. "make kill-soak ROUNDS=300" for many.
exec "$(dirname "$0")/crash-loop" kill "${ROUNDS:-10}"
