# libfs.a: files over the kv contract.
noinst_HEADERS += \
	fs/cache.h fs/fs.h fs/handle.h fs/kernel.h fs/layout.h fs/nodes.h fs/notify.h fs/op.h fs/tree.h

noinst_LIBRARIES += libfs.a
libfs_a_SOURCES =

# open files
libfs_a_SOURCES += \
	fs/process.c fs/process.h \
	fs/staging.c fs/staging.h
