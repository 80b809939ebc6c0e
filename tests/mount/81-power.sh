#!/bin/sh
# Loss of power at random moments under load, a few rounds of it. "make power-soak ROUNDS=500" for many.
exec "$(dirname "$0")/crash-loop" power "${ROUNDS:-10}"
