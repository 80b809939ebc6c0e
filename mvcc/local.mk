# libmvcc.a
noinst_HEADERS += mvcc/backend.h mvcc/batch.h mvcc/config.h mvcc/index.h mvcc/names.h mvcc/quota.h \
	mvcc/rename.h mvcc/revision.h mvcc/session.h mvcc/store.h mvcc/system.h mvcc/txn.h
