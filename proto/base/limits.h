/* Every bound of the system, each with its reason. A limit that a user can meet is in the manual. */
#ifndef PROTO_BASE_LIMITS_H
#define PROTO_BASE_LIMITS_H

#include <assert.h>
#include <stdint.h>

#define KIB 1024
#define MIB (1024 * 1024)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

/* --- what users meet --- */
#define NAME_SIZE_MAX 255               /* NAME_MAX of Linux */
#define PATH_SIZE_MAX 4096              /* PATH_MAX of Linux */
#define KEY_SIZE_MAX 16384              /* a path of PATH_SIZE_MAX may be shorter than its key is not:
                                           escapes only lengthen names; prefix and etcd's keys on top */
#define FILE_SIZE_MAX_DEFAULT (1 * MIB) /* whole file in one entry; pmxcfs and ConfigMaps have 1 MiB */
#define REQUEST_SIZE_MAX (1536 * KIB)   /* etcd's max-request-bytes: clients expect it */
#define TXN_OPS_MAX 128                 /* etcd's max-txn-ops */
#define TXN_DEPTH_MAX 8                 /* nested txns; protobuf-c has no bound of its own */
#define XATTR_SIZE_MAX 65536            /* all xattrs of one file; XATTR_SIZE_MAX of Linux for one */
#define SYMLINK_SIZE_MAX 4095           /* PATH_MAX without the NUL */
#define RENAME_KEYS_MAX_DEFAULT 20000   /* keys a rename of a directory moves in one entry */
#define RENAME_BYTES_MAX_DEFAULT (64 * MIB)
#define QUOTA_DEFAULT (2048LL * MIB)    /* etcd's default of 2 GiB, counted logically */
#define QUOTA_RESERVE (1 * MIB)         /* kept for writes that free space when the quota is met */
#define HISTORY_DEFAULT_S (30LL * 24 * 3600)    /* how far back snapshots go without a pin */
#define TIMEO_DEFAULT_MS 5000           /* how long a request waits for a quorum */

/* --- members --- */
#define HEARTBEAT_DEFAULT_MS 50
#define ELECTION_DEFAULT_MS 300         /* up to twice this, drawn */
#define APPLY_LAG_ENTRIES_MAX 5000      /* committed and not applied, above which proposals are BUSY */
#define APPLY_LAG_BYTES_MAX (64 * MIB)
#define RAFTLOG_KEEP_ENTRIES 5000       /* below the checkpoint, for slow members */
#define RAFTLOG_KEEP_BYTES (32 * MIB)
#define RAFTLOG_HOLD_BYTES (256 * MIB)  /* in memory, for a member that is being sent entries, or a snapshot */
#define MESSAGE_SIZE_MAX (1 * MIB)      /* one append message (etcd's MaxSizePerMsg) */
#define INFLIGHT_MESSAGES_MAX 512       /* etcd's MaxInflightMsgs */
#define INFLIGHT_BYTES_MAX (8 * MIB)    /* of entries in them: what a peer's queue has room for */
#define TRANSFER_CHUNK_BYTES (256 * KIB) /* of a state that travels: asked for, sent and written at once */
#define SESSION_OPEN_MAX 1024           /* unanswered numbers of one session */
#define SESSION_IDLE_NS (3600 * NS_PER_S)
#define LEASE_TTL_MIN_S 2               /* etcd's least: several elections */
#define LEASE_TTL_MAX_S 9000000000LL    /* etcd's most; in nanoseconds it still fits 63 bits */
#define LEASE_BYTES 64                  /* what a lease counts in the quota while it lives */
#define LEASE_EXPIRE_IN_FLIGHT_MAX 16   /* expiries proposed and not applied (etcd: 16 revokes) */
#define LEASE_EXPIRE_RATE 1000          /* of them in a second (etcd's) */
#define ASKS_MAX 64                     /* changes of the membership that people wait for: one each would do */
#define ASK_RETRY_MS 500                /* a leader that was asked may be gone: an election */
#define MEMBER_SILENT_MS 1000           /* unheard so long, a member counts as not reachable: many heartbeats */
#define MEMBER_PROMOTE_LAG_MAX 1000     /* entries that a new voter may lack: well under a second of them */
#define PAYLOAD_SIZE_MAX (2 * MIB)      /* one entry: a request and its headers */

/* --- between members --- */
#define NET_SILENCE_MAX_MS 3000         /* unacknowledged bytes: several elections, less than timeo */
#define NET_LINGER_MAX_MS 1000          /* a last sentence to somebody who may not be listening */
#define NET_CONNECT_TURNS_MS 750        /* for all addresses of a name but the last, which may be silent */
#define NET_LATE_ANSWER_MAX_MS 30000    /* how old an address may be that came after the question was
                                           given up: a resolver waits 5 s for each server it asks */
#define NET_UNSENT_BYTES_MAX (8 * MIB)  /* of one stream */
#define NET_DESCRIPTORS_RESERVED 16     /* for the log, the store and streams to peers: strangers who
                                           connect do not take the last ones */
#define NET_ACCEPT_PAUSE_MS 100         /* when there are none left: nobody is served sooner by trying */
#define FRAME_SIZE_MAX (4 * MIB)        /* bounds what one length field can make a reader allocate */
#define FRAME_SIZE_FIRST_MAX 1024       /* of hellos and refusals: all that a stranger can make us take */
#define FRAME_SIZE_JOINED_MAX (32 * KIB) /* all members with the longest names and addresses: 23 KiB */
#define FRAME_MESSAGES_BYTES (1 * MIB)  /* messages are gathered up to this; one may be larger */
#define MESSAGE_ENTRIES_MAX (MESSAGE_SIZE_MAX / 4)  /* the core counts 6 bytes or more for each */
#define PEER_QUEUE_MESSAGES_MAX 4096    /* waiting for one peer: several full windows */
#define PEER_QUEUE_BYTES_MAX (16 * MIB) /* on top of what its stream holds; half of it is payloads
                                           that the log keeps in memory anyway */
#define PEER_FRAMES_BYTES_MAX (8 * MIB) /* the member's own frames waiting for one peer, per channel */
#define PEER_INCOMING_MAX 256           /* streams: two of each member, those they replace, strangers */
#define PEER_HELLO_MAX_MS 1000          /* from a stream to its hello, or to the answer: two round trips
                                           around the world; above it another try is the better bet */
#define PEER_LOST_MS 200                /* a peer that is heard has not answered for so long: that connect was
                                         * lost on the way. Several round trips, of a far peer one */
#define PEER_JOIN_MAX_MS 15000          /* from a request to join to its answer: an election or two and the
                                           entry; the joiner asks again after it */
#define PEER_BACKOFF_MIN_MS 10          /* a restarting member is back within a few of these */
#define PEER_BACKOFF_MAX_MS 500         /* with the above: back within three elections */

/* --- log --- */
#define SEGMENT_SIZE_DEFAULT (64 * MIB) /* large enough that cuts are rare, small enough to recycle */
#define SEGMENT_SIZE_MIN (256 * KIB)    /* tests */
#define RECORD_SIZE_MAX (4 * MIB)       /* bounds what one length field can make a reader allocate */

/* --- store --- */
#define VALUE_INLINE_MAX 1024           /* a value up to this stands in its key's row */
#define WRITE_BUFFER_SIZE (16 * MIB)
#define NAME_DEPTH_MAX 256              /* deeper names get no rows in the live names */
#define COMPACT_STEP_ROWS 1000          /* rows of one compaction step (etcd's compaction-batch-limit) */
#define RANGE_CHUNK_ROWS 64             /* rows the loop reads in one go */
#define HOME_FILES_MAX 32768            /* of one copy of a store: 256 GiB in tables of 8 MiB */
#define HOME_FILE_SIZE_MAX (1LL << 40)  /* bounds what a sender can announce */
#define HOME_MANIFEST_SIZE_MAX (2 * MIB) /* the list of the files of a copy, in one message */

#define HOME_RESERVE_SIZE (SEGMENT_SIZE_DEFAULT + 2 * WRITE_BUFFER_SIZE) /* a file that is given back when
                                           the disk is full: the log's next segment, and what LevelDB writes
                                           of its buffers when it is opened again */
#define SPACE_LOW HOME_RESERVE_SIZE     /* free bytes, below which a disk is low: as much again, so that the
                                           reserve is not the first to go */

/* --- watches --- */
#define WATCHES_MAX 65536               /* of one member; 250 bytes each and their keys */
#define WATCH_LIVE_EVENTS_MAX 4096      /* changes that a batch keeps at hand for those who watch; */
#define WATCH_LIVE_BYTES_MAX (1 * MIB)  /* above either they are read back, as for who is late */
#define WATCH_READ_ROWS 1024            /* changes one reading of a worker looks at (etcd: 1000) */
#define WATCH_READ_BYTES (1 * MIB)      /* values after which a reading ends, at a revision's end */
#define WATCH_LOOP_BYTES (256 * KIB)    /* values the loop reads in one go */
#define WATCH_GROUPS_MAX 512            /* different watches served by one reading (etcd: 512) */

/* --- the local socket --- */
#define SOCKET_CONNECTIONS_MAX 64       /* commands of people and scripts; each may hold some requests */
#define SOCKET_REQUESTS_MAX 16          /* unanswered or unsent of one connection */
#define SOCKET_OUTPUT_BYTES_MAX (8 * MIB) /* unsent answers of one connection, above which it waits */
#define SOCKET_REQUEST_SIZE_MAX PAYLOAD_SIZE_MAX
#define SOCKET_RESPONSE_SIZE_MAX (64 * MIB) /* one answer; longer ranges are asked for in pieces */
#define SOCKET_ANSWER_MAX_S 60          /* how long a command waits: many times timeo */
#define SOCKET_SETTLE_MAX_MS 1000       /* how long an answer waits for the kernel to be told */
#define CLIENT_CHUNK_BYTES (1 * MIB)    /* what a command aims at in one answer of a long range */

/* --- threads --- */
#define INLINE_FLUSH_BYTES_MAX (64 * KIB)
#define INLINE_SLOW_NS 1000000LL        /* after a flush or apply over this they are handed over */
#define READ_SLOW_NS 2000000LL

static_assert(FILE_SIZE_MAX_DEFAULT + KEY_SIZE_MAX * 2 + XATTR_SIZE_MAX < REQUEST_SIZE_MAX,
              "a save carries content, two keys and metadata in one request");
static_assert(REQUEST_SIZE_MAX < PAYLOAD_SIZE_MAX, "an entry holds any request");
static_assert(PAYLOAD_SIZE_MAX < RECORD_SIZE_MAX, "a record holds any entry");
static_assert(SEGMENT_SIZE_DEFAULT > 4 * RECORD_SIZE_MAX, "a segment holds several records");
static_assert(SOCKET_RESPONSE_SIZE_MAX > 16 * REQUEST_SIZE_MAX,
              "the first piece of a range is 16 items, however large");
static_assert(PAYLOAD_SIZE_MAX + MESSAGE_SIZE_MAX < FRAME_SIZE_MAX, "a frame holds any message");
static_assert(PEER_LOST_MS < PEER_HELLO_MAX_MS, "it comes before the end that needs no sign");
static_assert(NET_CONNECT_TURNS_MS < PEER_HELLO_MAX_MS, "a peer's last address has its turn");
static_assert(FRAME_SIZE_MAX < NET_UNSENT_BYTES_MAX, "a stream takes a frame behind a frame");
static_assert(FRAME_SIZE_MAX < PEER_QUEUE_BYTES_MAX, "a queue holds any message");
static_assert(INFLIGHT_BYTES_MAX + FRAME_SIZE_MAX < PEER_QUEUE_BYTES_MAX,
              "a queue holds a window of appends, the last of which may be larger");
static_assert(FRAME_SIZE_MAX < PEER_FRAMES_BYTES_MAX, "and any frame");
static_assert(WATCH_LIVE_EVENTS_MAX >= 2 * RANGE_CHUNK_ROWS && WATCH_READ_ROWS > RANGE_CHUNK_ROWS,
              "what the loop does by itself is less than what it hands over");
static_assert(ELECTION_DEFAULT_MS >= 5 * HEARTBEAT_DEFAULT_MS, "a lost heartbeat is no election");

#endif
