# Tests of fs that need no mount.

# open files
UNIT += tests/unit/test_staging
tests_unit_test_staging_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_staging_LDADD = libfs.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_process
tests_unit_test_process_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_process_LDADD = libfs.a libbase.a $(CMOCKA_LIBS) -lpthread
