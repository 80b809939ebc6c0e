/* usage: lossy-restore init DIR IMAGE
 *        lossy-restore crash [--seed N] [--keep 0..256] [--drop-store-logs] DIR IMAGE
 *
 * init notes DIR as it is, all of it durable, in the folder IMAGE and starts a journal there. A
 * process that then runs with
 *     LD_PRELOAD=liblossy.so LOSSY_DIR=DIR LOSSY_IMAGE=IMAGE
 * is killed at any moment, and crash makes DIR what a loss of power at that moment would have left,
 * drawn by the seed. That is also the start of the next run. The last line says what was drawn.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/mem.h"
#include "tests/lossy/image.h"

static int usage(void)
{
    fputs("usage: lossy-restore init DIR IMAGE\n"
          "       lossy-restore crash [--seed N] [--keep 0..256] [--drop-store-logs] DIR IMAGE\n",
          stderr);
    return 2;
}

static int fail(const char *path)
{
    fprintf(stderr, "lossy-restore: %s: %s\n", path, strerror(errno));
    return 1;
}

static bool read_file(const char *path, struct buf *to)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : 1;
    while (size > 0) {
        buf_reserve(to, 1 << 20);
        size = read(file, to->data + to->size, 1 << 20);
        to->size += size > 0 ? (size_t)size : 0;
    }
    if (file >= 0)
        close(file);
    return size == 0;
}

static bool keep_as_base(const struct image *image, const char *base, const char *journal)
{
    if (mkdir(base, 0700) && errno != EEXIST)
        return false;
    image_write(image, base);
    int file = open(journal, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return file >= 0 && close(file) == 0;
}

static int crash(struct image_luck *luck, const char *folder, const char *base, const char *path)
{
    struct buf journal = {0};
    int status = 1;
    if (!read_file(path, &journal))
        return fail(path);
    struct image *image = image_load(base);
    if (image_replay(image, luck, buf_bytes(&journal))) {
        image_settle(image, luck);
        image_write(image, folder);
        status = keep_as_base(image, base, path) ? 0 : fail(base);
        printf("journal %zu bytes, kept %u of 256\n", journal.size, luck->keep);
    }
    buf_release(&journal);
    image_free(image);
    return status;
}

int main(int argc, char **argv)
{
    uint64_t seed = rand_system_seed();
    int keep = -1, i = 2;
    bool drop_store_logs = false;
    if (argc < 2 || (strcmp(argv[1], "init") && strcmp(argv[1], "crash")))
        return usage();
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--keep") && i + 1 < argc)
            keep = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--drop-store-logs"))
            drop_store_logs = true;
        else
            return usage();
    }
    if (argc - i != 2)
        return usage();

    struct image_luck luck;
    image_luck_init(&luck, seed);
    luck.drop_store_logs = drop_store_logs;
    if (keep >= 0) {
        luck.keep = keep > 256 ? 256 : (uint32_t)keep;
        luck.write_back = luck.keep ? 16 : 0;
    }
    char *base = mem_xformat("%s/base", argv[i + 1]);
    char *journal = mem_xformat("%s/journal", argv[i + 1]);
    int status = 0;
    if (!strcmp(argv[1], "crash")) {
        status = crash(&luck, argv[i], base, journal);
    } else {
        struct image *image = image_load(argv[i]);
        if ((mkdir(argv[i + 1], 0700) && errno != EEXIST) || !keep_as_base(image, base, journal))
            status = fail(argv[i + 1]);
        image_free(image);
    }
    free(base);
    free(journal);
    return status;
}
