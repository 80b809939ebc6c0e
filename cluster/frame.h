/* Frames: how the bytes of a stream between two members are cut, and what stands in the first of
 * them. Pure: bytes in, frames out.
 *
 *     offset  bytes
 *      0      4      size of the body, at most FRAME_SIZE_MAX
 *      4      4      kind
 *      8      4      CRC32C of the body
 *     12      8      cluster id
 *     20      8      from
 *     28      8      to
 *     36      4      CRC32C of the 36 bytes before it
 *     40      size   body
 *
 * Numbers are little endian. The header has a sum of its own, so that a size that was altered is
 * seen at once, and not after a reader has waited for bytes that never come.
 *
 * Bodies (schema/raft.proto): HELLO PeerHello, REFUSED PeerRefused, MESSAGES PeerMessages; those of
 * the member's own kinds are opaque.
 */
#ifndef CLUSTER_FRAME_H
#define CLUSTER_FRAME_H

#include "cluster/raft_pb.h"

#define FRAME_HEADER_SIZE 40
#define FRAME_VERSION 1     /* of all this; another one is refused */

enum frame_kind {
    FRAME_HELLO = 1,
    FRAME_REFUSED = 2,
    FRAME_MESSAGES = 3,
    FRAME_JOIN = 4,         /* cluster/join_frame.h: first frame of who is no member yet, */
    FRAME_JOINED = 5,       /* and its answer */
    FRAME_OWN = 64,         /* the member's own kinds, from here to FRAME_KIND_MAX */
    FRAME_KIND_MAX = UINT16_MAX,
};

struct frame_header {
    uint32_t size, kind, sum;   /* size and sum of the body */
    uint64_t cluster_id;
    raft_id from, to;
};

/* ---- writing ---- */

/* Room for a header at the end of buf; returns where, for frame_end. The body is appended after
 * it. */
size_t frame_begin(struct buf *buf);
/* Fills in the header: kind and ids are taken from header, size and sums are computed. CHECKed: the
 * body is at most FRAME_SIZE_MAX. */
void frame_end(struct buf *buf, size_t begin, const struct frame_header *header);
/* Appends one message to the body of a MESSAGES frame, and how many bytes that takes. */
void frame_message_append(struct buf *buf, const struct raft_message *message);
size_t frame_message_size(const struct raft_message *message);

/* ---- reading ---- */

/* INVALID, with a text: the sum, the size or the kind is wrong. from has FRAME_HEADER_SIZE
 * bytes. */
enum err_code frame_header_decode(const uint8_t *from, struct frame_header *ret,
                                  struct err *err) MUST_USE;
/* The next message of a MESSAGES body; *cursor starts as cursor_of(body). False at the end, or when
 * cursor->failed. What is returned borrows from the body. */
bool frame_message_next(struct cursor *cursor, struct bytes *ret_message);
/* Whether from begins with a whole frame, and its size with its header (else 0); true if the stream
 * may go on without it, or with it twice: a frame of messages. For nets that play tricks. */
bool frame_measure(struct bytes from, size_t *ret_size);

/* Cuts a stream into frames. Zeroed memory begins one. A frame that lies within one read is given
 * back where it lies; of any other the body's buffer has exactly its size, and its bytes can be
 * read into place. */
struct frame_reader {
    struct buf partial;         /* of the frame that is being read */
    struct frame_header header; /* of it, once partial has it whole */
    bool given;                 /* partial was given out: it is empty from the next call on */
    /* Asked about each header before anything of its size is allocated or read; what it refuses is
     * the reader's error. NULL: all are fine. */
    enum err_code (*check)(void *context, const struct frame_header *header, struct err *err);
    void *context;
};

/* Takes bytes from the front of *from until a frame is whole (*ret_whole; its body is borrowed
 * until the next call) or *from is empty. INVALID: the stream is of no use any more, err says
 * why. */
enum err_code frame_next(struct frame_reader *reader, struct bytes *from, bool *ret_whole,
                         struct frame_header *ret_header, struct bytes *ret_body,
                         struct err *err) MUST_USE;
/* Where the rest of a large body goes; NULL when there is none. For net_events.room. */
uint8_t *frame_room(struct frame_reader *reader, size_t *ret_size);
void frame_reader_release(struct frame_reader *reader);

/* ---- first frames ---- */

#define FRAME_ADDRESS_MAX 255

struct frame_hello {
    uint32_t version;
    uint64_t features;          /* bits; unknown ones mean nothing to who does not know them */
    uint64_t cluster_id;
    raft_id from, to;
    uint64_t generation;        /* of the sender's data folder */
    uint32_t channel;           /* enum peer_channel */
    struct bytes address;       /* where the sender listens; empty: nowhere. Borrowed; from a decode,
                                 * up to FRAME_ADDRESS_MAX printable characters */
};

/* Each appends a whole frame. */
void frame_hello_encode(const struct frame_hello *hello, struct buf *buf);
void frame_refused_encode(const struct frame_header *ids, uint32_t why, const char *text,
                          struct buf *buf);
/* INVALID: malformed. */
enum err_code frame_hello_decode(struct bytes body, struct frame_hello *ret) MUST_USE;
/* ret_text: printable, a NUL at its end. */
enum err_code frame_refused_decode(struct bytes body, uint32_t *ret_why,
                                   char ret_text[ERR_TEXT_SIZE]) MUST_USE;

#endif
