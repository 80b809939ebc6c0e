/* Preloaded into a daemon: what it writes to the FUSE device is held back.
 *
 *     STALL.notes      while there is such a file, a note that forgets a name waits before the kernel has it;
 *                      STALL.note is made then
 *     STALL.answers    from then on an answer that brings a node (of MKDIR, say) is never given; STALL.answer
 *                      is made then
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_SIZE 4200

static bool is_there(const char *word)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s.%s", getenv("STALL"), word);
    return access(path, F_OK) == 0;
}

static void make(const char *word)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s.%s", getenv("STALL"), word);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
}

static void hold_back(const struct fuse_out_header *head)
{
    bool is_note = head->unique == 0 && head->error == FUSE_NOTIFY_INVAL_ENTRY;
    bool is_answer = head->unique != 0 && head->len == sizeof *head + sizeof(struct fuse_entry_out);
    if (is_note && is_there("notes")) {
        make("note");
        while (is_there("notes"))
            usleep(1000);
    } else if (is_answer && is_there("answers")) {
        make("answer");
        for (;;)
            pause();
    }
}

ssize_t writev(int fd, const struct iovec *vectors, int count)
{
    ssize_t (*real)(int, const struct iovec *, int);
    void *found = dlsym(RTLD_NEXT, "writev");
    memcpy(&real, &found, sizeof real);
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += vectors[i].iov_len;
    const struct fuse_out_header *head = count > 0 ? vectors[0].iov_base : NULL;
    if (head && vectors[0].iov_len == sizeof *head && head->len == size)
        hold_back(head);
    return real(fd, vectors, count);
}
