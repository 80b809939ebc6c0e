# libbase.a: the words of every part. libproto.a: messages and contracts.
noinst_LIBRARIES += libbase.a

libbase_a_SOURCES = \
	proto/base/arena.c proto/base/arena.h \
	proto/base/bytes.c proto/base/bytes.h \
	proto/base/check.c proto/base/check.h \
	proto/base/crc32c.c proto/base/crc32c.h \
	proto/base/entry.h \
	proto/base/err.c proto/base/err.h \
	proto/base/hash.c proto/base/hash.h \
	proto/base/limits.h \
	proto/base/list.h \
	proto/base/mem.c proto/base/mem.h \
	proto/base/rand.c proto/base/rand.h \
	proto/base/trace.c proto/base/trace.h \
	proto/base/varint.h

noinst_LIBRARIES += libproto.a

libproto_a_SOURCES = \
	proto/status.c proto/status.h

EXTRA_DIST += proto/README.md

noinst_HEADERS += proto/kv.h proto/meta.h proto/kv_pb.h
