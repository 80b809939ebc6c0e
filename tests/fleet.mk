# Linearizability through real mounts: clients on every host of a fleet, faults, and a judge of what they saw.
noinst_LIBRARIES += libfleet.a
libfleet_a_SOURCES = tests/fleet/history.c tests/fleet/history.h \
	tests/fleet/check.c tests/fleet/check.h tests/fleet/search.c tests/fleet/appends.c

UNIT += tests/unit/test_fleet_check
tests_unit_test_fleet_check_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_fleet_check_LDADD = libfleet.a libbase.a $(CMOCKA_LIBS)

FLEET_HELPERS = tests/fleet/fleet-client tests/fleet/fleet-judge
check_PROGRAMS += $(FLEET_HELPERS)
tests_fleet_fleet_client_SOURCES = tests/fleet/client.c
tests_fleet_fleet_client_LDADD = libfleet.a libbase.a
tests_fleet_fleet_judge_SOURCES = tests/fleet/judge.c
tests_fleet_fleet_judge_LDADD = libfleet.a libbase.a
