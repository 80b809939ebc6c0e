# Tests. Each unit test links just the libraries its folder may use, so that a forbidden call does
# not link.
noinst_HEADERS += tests/test.h

UNIT =
UNIT_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
check_PROGRAMS += $(UNIT)
TESTS += $(UNIT)

# proto
UNIT += tests/unit/test_base
tests_unit_test_base_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_base_LDADD = libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_status
tests_unit_test_status_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_status_LDADD = libproto.a libbase.a $(CMOCKA_LIBS)

include tests/wal.mk
include tests/mvcc.mk
include tests/raft.mk
include tests/cluster.mk
include tests/fs.mk
include tests/mount.mk
include tests/bench.mk
include tests/fuzz.mk
