#!/bin/sh
# Members of three are killed under load, a few rounds of it. "make fleet-kills ROUNDS=500" for many.
exec "$(dirname "$0")/fleet-kills" "${ROUNDS:-3}"
