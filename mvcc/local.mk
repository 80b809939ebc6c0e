# libmvcc.a
noinst_LIBRARIES += libmvcc.a

libmvcc_a_SOURCES = \
	mvcc/adopt.c mvcc/alarm.c \
	mvcc/backend.h mvcc/backend_leveldb.c mvcc/backend_memory.c \
	mvcc/batch.c mvcc/batch.h \
	mvcc/changes.c mvcc/changes.h \
	mvcc/checkpoint.c \
	mvcc/compact.c \
	mvcc/config.c mvcc/config.h \
	mvcc/hash.c \
	mvcc/home.h mvcc/home_internal.h mvcc/home_manifest.c \
	mvcc/home_files.c mvcc/home_files.h mvcc/home_leveldb.c mvcc/home_leveldb_copy.c \
	mvcc/home_memory.c \
	mvcc/index.c mvcc/index.h \
	mvcc/lease.c mvcc/lease.h \
	mvcc/lease_rows.c mvcc/lease_rows.h \
	mvcc/manifest.c mvcc/manifest.h \
	mvcc/names.c mvcc/names.h mvcc/names_internal.h mvcc/names_past.c \
	mvcc/names_validate.c \
	mvcc/noted.c \
	mvcc/position.c \
	mvcc/order.c mvcc/order.h \
	mvcc/quota.c mvcc/quota.h \
	mvcc/range.c mvcc/range.h \
	mvcc/reading.c \
	mvcc/rename.c mvcc/rename.h \
	mvcc/replace.c \
	mvcc/revision.h \
	mvcc/row_cache.c mvcc/row_cache.h \
	mvcc/session.c mvcc/session.h \
	mvcc/store.c mvcc/store.h mvcc/store_internal.h \
	mvcc/system.c mvcc/system.h \
	mvcc/txn.c mvcc/txn.h \
	mvcc/watch.c mvcc/watch.h \
	mvcc/watch_index.c mvcc/watch_index.h \
	mvcc/watch_read.c mvcc/watch_read.h \
	mvcc/watch_tell.c mvcc/watch_tell.h \
	mvcc/written.c mvcc/written.h

EXTRA_DIST += mvcc/FORMAT mvcc/README.md
