# Tests of fs that need no mount.

# open files
UNIT += tests/unit/test_staging
tests_unit_test_staging_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_staging_LDADD = libfs.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_process
tests_unit_test_process_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_process_LDADD = libfs.a libbase.a $(CMOCKA_LIBS) -lpthread

# names, nodes, options
UNIT += tests/unit/test_layout
tests_unit_test_layout_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_layout_LDADD = libfs.a libproto.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_nodes
tests_unit_test_nodes_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_nodes_LDADD = libfs.a libbase.a $(CMOCKA_LIBS)

UNIT += tests/unit/test_mount_options
tests_unit_test_mount_options_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_mount_options_LDADD = libfs.a libbase.a $(CMOCKA_LIBS)
