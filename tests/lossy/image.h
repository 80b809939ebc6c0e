/* What a disk holds: a model of one folder with a page cache in front of it.
 *
 *     load the folder as it was  ->  replay the journal  ->  settle: the power fails  ->  write it
 *
 * After image_replay each page of each file has up to three states: durable; in flight, where a
 * flush had begun and not ended; dirty. Each folder has its durable names and a list of changes to
 * them, in order. image_settle decides what of that a disk would hold after a loss of power:
 *
 *   - what a flush that ended covers is there, always;
 *   - of every other page the durable state, the one in flight or the dirty one, drawn for each page;
 *   - the size: the durable one, the newest, or what the last page kept needs;
 *   - of each folder's changes that were not flushed the first few, in order. A change that concerns
 *     two folders (a rename across) comes with what came before it in both;
 *   - a file made shorter is so wholly or not at all, with all that was written to it since.
 *
 * A flush of a file does not make its name durable; a flush of its folder does.
 *
 * Invariants:
 *   - dirty pages exist only below the newest size, durable ones only below the durable size;
 *   - with the same journal and the same seed the result is the same, byte for byte.
 */
#ifndef TESTS_LOSSY_IMAGE_H
#define TESTS_LOSSY_IMAGE_H

#include "proto/base/bytes.h"
#include "proto/base/rand.h"

struct image;

/* What is drawn about a loss of power. */
struct image_luck {
    struct rand rand;
    uint32_t keep;          /* of 256 unflushed pages so many are kept */
    uint32_t write_back;    /* of 256 writes to a dirty page so many find it written back meanwhile */
    bool drop_store_logs;   /* empty *.log beside a CURRENT: the store's own log is not to be trusted */
};

/* Draws the luck from a seed: often everything unflushed is lost, sometimes nothing. */
void image_luck_init(struct image_luck *luck, uint64_t seed);

/* All is durable in it. Ends the process with a message when the folder cannot be read. */
struct image *image_load(const char *folder);
void image_free(struct image *image);

/* Applies the journal; a cut record at its end is left out. False when a record does not fit what
 * came before it (says which on stderr): the process used a call that the rig does not follow. */
bool image_replay(struct image *image, struct image_luck *luck, struct bytes journal);

/* The power fails. Afterwards the image holds what is left, all of it durable. */
void image_settle(struct image *image, struct image_luck *luck);

/* Makes folder equal to the image: all else in it goes. Ends the process when it cannot. */
void image_write(const struct image *image, const char *folder);

#endif
