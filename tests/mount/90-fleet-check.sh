#!/bin/sh
# Five hosts, and clients on all of them, while one is killed, one frozen and the leader cut off: what they saw
# has an order. "make fleet-check MINUTES=30" for the long form, with all kinds of faults.
FAULTS=${FAULTS:-kill freeze leader}
export FAULTS
exec "$(dirname "$0")/../fleet/rounds" "${FLEET_SECONDS:-20}"
