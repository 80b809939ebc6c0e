# Tests through a real mount, and the rig that makes a disk forget.

# liblossy.so is preloaded into the program under test, so no sanitizer goes into it.
check_PROGRAMS += tests/lossy/lossy-restore tests/lossy/writer
tests_lossy_lossy_restore_SOURCES = tests/lossy/restore.c tests/lossy/image.c tests/lossy/image.h \
	tests/lossy/pages.c tests/lossy/pages.h tests/lossy/journal.h
tests_lossy_lossy_restore_LDADD = libbase.a
tests_lossy_writer_SOURCES = tests/lossy/writer.c
tests_lossy_writer_LDADD = -lpthread

lossy_sources = tests/lossy/lossy.c tests/lossy/follow.c
EXTRA_DIST += $(lossy_sources) tests/lossy/follow.h
tests/lossy/liblossy.so: $(lossy_sources) tests/lossy/follow.h tests/lossy/journal.h
	@$(MKDIR_P) tests/lossy
	$(AM_V_CCLD)$(CC) -std=c11 -D_GNU_SOURCE -I$(srcdir) -Wall -Wextra -O2 -g -fPIC -shared -o $@ \
	  $(srcdir)/tests/lossy/lossy.c $(srcdir)/tests/lossy/follow.c -ldl -lpthread
check_DATA = tests/lossy/liblossy.so
CLEANFILES += tests/lossy/liblossy.so

dist_check_SCRIPTS += tests/lossy/test_rig.sh
TESTS += tests/lossy/test_rig.sh
