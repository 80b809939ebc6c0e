# libmvcc.a
noinst_LIBRARIES += libmvcc.a

libmvcc_a_SOURCES = \
	mvcc/backend.h mvcc/backend_leveldb.c mvcc/backend_memory.c \
	mvcc/batch.c mvcc/batch.h \
	mvcc/checkpoint.c \
	mvcc/compact.c \
	mvcc/config.h \
	mvcc/hash.c \
	mvcc/index.c mvcc/index.h \
	mvcc/names.h \
	mvcc/quota.h \
	mvcc/range.c mvcc/range.h \
	mvcc/rename.h \
	mvcc/revision.h \
	mvcc/session.h \
	mvcc/store.c mvcc/store.h mvcc/store_internal.h \
	mvcc/system.h \
	mvcc/txn.c mvcc/txn.h
