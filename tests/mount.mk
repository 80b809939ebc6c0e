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

# A store that arrives from another member.
check_PROGRAMS += tests/lossy/home-subject
tests_lossy_home_subject_SOURCES = tests/lossy/home_subject.c
tests_lossy_home_subject_LDADD = libmvcc.a libproto.a libbase.a $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) -lpthread
dist_check_SCRIPTS += tests/lossy/test_home.sh
TESTS += tests/lossy/test_home.sh

# Through the mount: one script per subject, and the programs they use.
MOUNT_HELPERS = tests/mount/elsewhere tests/mount/inotify tests/mount/ledger tests/mount/listing \
	tests/mount/once tests/mount/polled tests/mount/posix tests/mount/puts tests/mount/threads tests/mount/torn
check_PROGRAMS += $(MOUNT_HELPERS)
tests_mount_elsewhere_LDADD = libcluster.a libraft.a libmvcc.a libwal.a libproto.a libbase.a \
	$(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) $(UV_LIBS) -lpthread
tests_mount_ledger_LDADD = libbase.a
tests_mount_puts_LDADD = $(tests_mount_elsewhere_LDADD)
tests_mount_threads_LDADD = -lpthread

# Preloaded, too.
tests/mount/stall.so: tests/mount/stall.c
	@$(MKDIR_P) tests/mount
	$(AM_V_CCLD)$(CC) -std=c11 -D_GNU_SOURCE -Wall -Wextra -O2 -g -fPIC -shared -o $@ \
	  $(srcdir)/tests/mount/stall.c -ldl
check_DATA += tests/mount/stall.so
CLEANFILES += tests/mount/stall.so
EXTRA_DIST += tests/mount/stall.c

MOUNT_TESTS = \
	tests/mount/00-ledger.sh \
	tests/mount/01-mount.sh \
	tests/mount/10-cp.sh \
	tests/mount/11-rsync.sh \
	tests/mount/12-tar.sh \
	tests/mount/13-git.sh \
	tests/mount/14-editors.sh \
	tests/mount/15-rename-folder.sh \
	tests/mount/16-walk.sh \
	tests/mount/17-being-made.sh \
	tests/mount/20-snapshot.sh \
	tests/mount/30-torn.sh \
	tests/mount/31-inherited.sh \
	tests/mount/32-threads.sh \
	tests/mount/40-permissions.sh \
	tests/mount/41-xattr.sh \
	tests/mount/42-special.sh \
	tests/mount/43-posix.sh \
	tests/mount/44-listing.sh \
	tests/mount/50-commands.sh \
	tests/mount/51-inotify.sh \
	tests/mount/52-watch.sh \
	tests/mount/53-full-disk.sh \
	tests/mount/62-segments.sh \
	tests/mount/80-kill.sh \
	tests/mount/81-power.sh \
	tests/mount/82-fleet-kills.sh \
	tests/mount/83-exactly-once.sh \
	tests/mount/84-stuck.sh \
	tests/mount/90-fleet-check.sh
dist_check_SCRIPTS += $(MOUNT_TESTS)
EXTRA_DIST += tests/README.md tests/mount/lib.sh tests/mount/three.sh tests/mount/tree.sh tests/mount/crash-loop \
	tests/mount/fleet-kills tests/mount/full
TESTS += $(MOUNT_TESTS)

# make mount-check: these alone. make mount-full: in their long forms, but for those that have passed with
# this program before; a fresh start is after "rm -r mount-full". MOUNT_FULL=tests/mount/10-cp.sh runs one.
# kill-soak, power-soak and fleet-kills go on where they were stopped; a fresh start is after
# "rm kill-soak.count".
ROUNDS = 300
soak_environment = SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' MOUNT_TEST_SECONDS=86400
soak = $(soak_environment) $(SHELL) $(srcdir)/tests/mount/crash-loop
.PHONY: mount-check mount-full kill-soak power-soak fleet-kills
mount-check: all
	$(MAKE) check TESTS='$(MOUNT_TESTS)'
MOUNT_FULL = $(MOUNT_TESTS)
mount-full: all $(MOUNT_HELPERS) $(FLEET_HELPERS) tests/lossy/lossy-restore $(check_DATA)
	@SRCDIR='$(abs_top_srcdir)' BUILDDIR='$(abs_top_builddir)' SHELL='$(SHELL)' \
	  $(SHELL) $(srcdir)/tests/mount/full mount-full $(addprefix $(srcdir)/,$(MOUNT_FULL))
kill-soak: all $(check_PROGRAMS)
	$(soak) kill $(ROUNDS) '$(abs_top_builddir)/kill-soak.count'
fleet-kills: all $(MOUNT_HELPERS)
	$(soak_environment) $(SHELL) $(srcdir)/tests/mount/fleet-kills $(ROUNDS) \
	  '$(abs_top_builddir)/fleet-kills.count'
power-soak: all $(check_PROGRAMS) $(check_DATA)
	$(soak) power $(ROUNDS) '$(abs_top_builddir)/power-soak.count'
