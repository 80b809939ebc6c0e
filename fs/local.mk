# libfs.a: files over the kv contract.
noinst_LIBRARIES += libfs.a
libfs_a_SOURCES = \
	fs/control.c fs/control.h \
	fs/fs.c fs/fs.h \
	fs/interrupt.c fs/interrupt.h \
	fs/kernel.h \
	fs/layout.c fs/layout.h \
	fs/nodes.c fs/nodes.h \
	fs/op.c fs/op.h \
	fs/snapshot.c fs/snapshot.h

noinst_HEADERS += fs/cache.h fs/handle.h fs/notify.h fs/tree.h

# open files
libfs_a_SOURCES += \
	fs/process.c fs/process.h \
	fs/staging.c fs/staging.h
