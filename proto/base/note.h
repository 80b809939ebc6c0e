/* Notes: small files about a process, which may be lost with it (whose lock it is, what it mounted). Any thread. */
#ifndef PROTO_BASE_NOTE_H
#define PROTO_BASE_NOTE_H

#include "proto/base/err.h"

/* text becomes the content of the open file, which messages call path. It is written over what is there, for
 * which a full disk has room, too; neither atomically nor durably. Errors: IO, NO_SPACE. */
enum err_code note_overwrite(int fd, const char *path, const char *text, struct err *err) MUST_USE;

#endif
