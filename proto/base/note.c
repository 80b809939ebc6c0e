#include "proto/base/note.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum err_code note_overwrite(int fd, const char *path, const char *text, struct err *err)
{
    size_t size = strlen(text), done = 0;
    while (done < size) {       /* a write that falls short does not say why; the next one does */
        ssize_t written = pwrite(fd, text + done, size - done, (off_t)done);
        if (written < 0 && errno != EINTR)
            return err_set_errno(err, errno, "write \"%s\"", path);
        done += written > 0 ? (size_t)written : 0;
    }
    return ftruncate(fd, (off_t)size) == 0 ? ERR_OK : err_set_errno(err, errno, "write \"%s\"", path);
}
