# Tests of wal.
noinst_LIBRARIES += libsimdisk.a
libsimdisk_a_SOURCES = tests/sim/sim_disk.c tests/sim/sim_disk.h
noinst_HEADERS += tests/unit/wal_fixture.h

WAL_TEST_LIBS = libsimdisk.a libwal.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_wal
tests_unit_test_wal_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_wal_LDADD = $(WAL_TEST_LIBS)
