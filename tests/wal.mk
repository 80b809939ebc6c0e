# Tests of wal.
noinst_LIBRARIES += libsimdisk.a
libsimdisk_a_SOURCES = tests/sim/sim_disk.c tests/sim/sim_disk.h
noinst_HEADERS += tests/unit/wal_fixture.h tests/unit/wal_model.h

WAL_TEST_LIBS = libsimdisk.a libwal.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_sim_disk
tests_unit_test_sim_disk_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_sim_disk_LDADD = $(WAL_TEST_LIBS)

UNIT += tests/unit/test_record
tests_unit_test_record_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_record_LDADD = $(WAL_TEST_LIBS)

UNIT += tests/unit/test_wal
tests_unit_test_wal_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_wal_LDADD = $(WAL_TEST_LIBS)

UNIT += tests/unit/test_wal_crash
tests_unit_test_wal_crash_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_wal_crash_LDADD = $(WAL_TEST_LIBS)

UNIT += tests/unit/test_wal_sweep
tests_unit_test_wal_sweep_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_wal_sweep_LDADD = $(WAL_TEST_LIBS)

UNIT += tests/unit/test_segment
tests_unit_test_segment_CFLAGS = $(UNIT_CFLAGS) -pthread
tests_unit_test_segment_LDADD = $(WAL_TEST_LIBS)

# Flushes of the log against the floor.
EXTRA_PROGRAMS += tests/bench/bench_wal
tests_bench_bench_wal_LDADD = libwal.a libbase.a

# Every altered byte of four logs; goes on where it was stopped.
wal-sweep: tests/unit/test_wal_sweep
	tests/unit/test_wal_sweep --full wal-sweep.state
.PHONY: wal-sweep
CLEANFILES += wal-sweep.state
