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

# make fleet-check MINUTES=30 goes on where it was stopped, with the same program and commit; a fresh start is
# after "rm fleet-check.state". SEED=7 draws other faults and operations.
MINUTES = 30
EXTRA_DIST += tests/fleet/rounds tests/fleet/README.md
.PHONY: fleet-check
fleet-check: all $(FLEET_HELPERS)
	@SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' MOUNT_TEST_SECONDS=86400 \
	  SEED='$(or $(SEED),1)' FAULTS='' $(SHELL) $(srcdir)/tests/fleet/rounds "$$(($(MINUTES) * 60))" \
	  '$(abs_top_builddir)/fleet-check.state'
