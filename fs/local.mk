# libfs.a: files over the kv contract.
noinst_LIBRARIES += libfs.a
libfs_a_CFLAGS = $(AM_CFLAGS) $(FUSE_CFLAGS)
libfs_a_SOURCES = \
	fs/beneath.c fs/beneath.h \
	fs/cache.c fs/cache.h \
	fs/control.c fs/control.h \
	fs/dir.h \
	fs/follow.c fs/follow.h \
	fs/fs.c fs/fs.h \
	fs/interrupt.c fs/interrupt.h \
	fs/kernel.h fs/kernel_fuse.c \
	fs/layout.c fs/layout.h \
	fs/make.c fs/make.h \
	fs/mount_note.c fs/mount_note.h \
	fs/mount_options.c fs/mount_options.h \
	fs/mountpoint.c fs/mountpoint.h \
	fs/nodes.c fs/nodes.h \
	fs/op.c fs/op.h fs/op_attr.c fs/op_dir.c fs/op_link.c fs/op_lookup.c fs/op_rename.c \
	fs/partial.c fs/partial.h \
	fs/snapshot.c fs/snapshot.h \
	fs/tree.c fs/tree.h

EXTRA_DIST += fs/README.md

# open files, locks, and telling the kernel to forget
libfs_a_SOURCES += \
	fs/attempt.c fs/attempt.h \
	fs/conflict.c \
	fs/content.c \
	fs/handle.c fs/handle.h fs/handle_attr.c fs/handle_internal.h \
	fs/moves.c fs/moves.h \
	fs/notify.c fs/notify.h \
	fs/op_file.c \
	fs/op_lock.c fs/op_lock.h \
	fs/process.c fs/process.h \
	fs/replay.c fs/replay.h \
	fs/save.c \
	fs/staging.c fs/staging.h \
	fs/stream.c fs/stream.h fs/stream_lines.c \
	fs/watchers.c fs/watchers.h

# the program
bin_PROGRAMS += concordfs
concordfs_SOURCES = fs/main.c fs/cmd_mount.c fs/cmd_mount.h
concordfs_LDADD = \
	libfs.a libcluster.a libraft.a libmvcc.a libwal.a libproto.a libbase.a \
	$(FUSE_LIBS) $(PROTOBUF_C_LIBS) $(LEVELDB_LIBS) $(UV_LIBS) -lpthread
