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

UNIT += tests/unit/test_kv
tests_unit_test_kv_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_kv_LDADD = libproto.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_kv_pb
tests_unit_test_kv_pb_CFLAGS = $(UNIT_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_test_kv_pb_LDADD = libproto.a libbase.a $(CMOCKA_LIBS) $(PROTOBUF_C_LIBS)

UNIT += tests/unit/test_meta
tests_unit_test_meta_CFLAGS = $(UNIT_CFLAGS) $(PROTOBUF_C_CFLAGS)
tests_unit_test_meta_LDADD = libproto.a libbase.a $(CMOCKA_LIBS) $(PROTOBUF_C_LIBS)

include tests/wal.mk
include tests/mvcc.mk
include tests/raft.mk
include tests/cluster.mk
include tests/fs.mk
include tests/mount.mk
include tests/fleet.mk
include tests/sim.mk
include tests/bench.mk
include tests/fuzz.mk
