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
	proto/base/mutant.c proto/base/mutant.h \
	proto/base/note.c proto/base/note.h \
	proto/base/rand.c proto/base/rand.h \
	proto/base/trace.c proto/base/trace.h \
	proto/base/varint.h

noinst_LIBRARIES += libproto.a

libproto_a_SOURCES = \
	proto/entry_put.c proto/entry_put.h \
	proto/kv.c proto/kv.h \
	proto/kv_pb.c proto/kv_pb.h \
	proto/meta.c proto/meta.h \
	proto/request_pb.h \
	proto/socket_pb.c \
	proto/status.c proto/status.h \
	proto/wire.h
nodist_libproto_a_SOURCES = $(SCHEMA_C) $(SCHEMA_H)
libproto_a_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_C_CFLAGS)

# What protoc-c makes of the schema: built, never committed. One run writes the .c and the .h.
SCHEMA = proto/schema/kv.proto proto/schema/raft.proto proto/schema/record.proto
SCHEMA_C = proto/schema/kv.pb-c.c proto/schema/raft.pb-c.c proto/schema/record.pb-c.c
SCHEMA_H = proto/schema/kv.pb-c.h proto/schema/raft.pb-c.h proto/schema/record.pb-c.h
EXTRA_DIST += $(SCHEMA)
BUILT_SOURCES += $(SCHEMA_C) $(SCHEMA_H)
CLEANFILES += $(SCHEMA_C) $(SCHEMA_H)

SCHEMA_MAKE = $(AM_V_GEN)$(MKDIR_P) proto/schema && \
	$(PROTOC_C) --proto_path=$(srcdir)/proto/schema --c_out=proto/schema
proto/schema/kv.pb-c.c: $(srcdir)/proto/schema/kv.proto
	$(SCHEMA_MAKE) $(srcdir)/proto/schema/kv.proto
proto/schema/raft.pb-c.c: $(srcdir)/proto/schema/raft.proto
	$(SCHEMA_MAKE) $(srcdir)/proto/schema/raft.proto
proto/schema/record.pb-c.c: $(srcdir)/proto/schema/record.proto
	$(SCHEMA_MAKE) $(srcdir)/proto/schema/record.proto
proto/schema/kv.pb-c.h: proto/schema/kv.pb-c.c
proto/schema/raft.pb-c.h: proto/schema/raft.pb-c.c
proto/schema/record.pb-c.h: proto/schema/record.pb-c.c
# For those who make one target without "make all" before.
proto/libproto_a-kv_pb.$(OBJEXT) proto/libproto_a-socket_pb.$(OBJEXT): $(SCHEMA_H)

EXTRA_DIST += proto/README.md

