/* The main of a fuzz target where there is no libFuzzer: runs the target over the files of its
 * corpus, over seeded mutations of them, and over noise. A crash or a failed CHECK is the failure;
 * the input that caused it is named on stderr, or written to ./NAME.input.
 *
 *     fuzz_NAME            tests/fuzz/corpus/NAME under $SRCDIR, then REPLAY_RUNS (20000) made inputs
 *     fuzz_NAME FILE..     these files alone
 *
 * SEED=number draws other mutations.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/mem.h"
#include "proto/base/rand.h"

#define INPUT_SIZE_MAX 65536
#define INPUTS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes inputs[INPUTS_MAX];
static size_t input_count;
static struct bytes running;
static char dump_path[256];

/* On the way down: keeps what the target was given. */
static void on_crash(int number)
{
    FILE *file = fopen(dump_path, "wb");
    if (file) {
        fwrite(running.data, 1, running.size, file);
        fclose(file);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static void run(struct bytes input)
{
    /* A copy of exactly this size, so that AddressSanitizer sees a read past its end. */
    uint8_t *copy = mem_xalloc(input.size ? input.size : 1);
    if (input.size)
        memcpy(copy, input.data, input.size);
    running = bytes_of(copy, input.size);
    LLVMFuzzerTestOneInput(copy, input.size);
    running = BYTES_EMPTY;
    free(copy);
}

static void load(const char *path)
{
    struct stat stat;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &stat)) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    if (S_ISREG(stat.st_mode) && input_count < INPUTS_MAX) {
        uint8_t *data = mem_xalloc((size_t)stat.st_size + 1);
        size_t size = fread(data, 1, (size_t)stat.st_size, file);
        inputs[input_count++] = bytes_of(data, size);
    }
    fclose(file);
}

static void load_folder(const char *name)
{
    const char *top = getenv("SRCDIR");
    char *folder = mem_xformat("%s/tests/fuzz/corpus/%s", top ? top : ".", name);
    DIR *listing = opendir(folder);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        char *path = mem_xformat("%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            load(path);
        free(path);
    }
    if (listing)
        closedir(listing);
    free(folder);
}

static void mutate_once(struct rand *rand, uint8_t *data, size_t *size)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff};
    size_t at = *size ? rand_below(rand, *size) : 0, rest = *size - at;
    switch (rand_below(rand, 6)) {
    case 0: /* cut */
        *size = at;
        break;
    case 1: /* flip */
        if (rest)
            data[at] ^= (uint8_t)(1u << rand_below(rand, 8));
        break;
    case 2: /* a telling byte */
        if (rest)
            data[at] = telling[rand_below(rand, sizeof(telling))];
        break;
    case 3: /* leave out */
        if (rest) {
            size_t count = 1 + rand_below(rand, rest < 16 ? rest : 16);
            memmove(data + at, data + at + count, rest - count);
            *size -= count;
        }
        break;
    case 4: /* double */
        if (rest && *size + rest <= INPUT_SIZE_MAX) {
            memcpy(data + *size, data + at, rest);
            *size += rest;
        }
        break;
    case 5: /* grow */
        if (*size < INPUT_SIZE_MAX)
            data[(*size)++] = (uint8_t)rand_u32(rand);
        break;
    }
}

static void run_mutated(struct rand *rand)
{
    static uint8_t data[INPUT_SIZE_MAX];
    size_t size = 0;
    if (input_count && !rand_chance(rand, 1, 8)) {
        struct bytes from = inputs[rand_below(rand, input_count)];
        size = from.size < INPUT_SIZE_MAX ? from.size : INPUT_SIZE_MAX;
        if (size)
            memcpy(data, from.data, size);
    } else {
        size = rand_below(rand, 256);
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)rand_u32(rand);
    }
    for (uint64_t count = rand_below(rand, 8); count; count--)
        mutate_once(rand, data, &size);
    run(bytes_of(data, size));
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    struct rand rand;
    rand_init(&rand, number_of("SEED", 1));
    snprintf(dump_path, sizeof(dump_path), "%s.input", name);
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);

    for (int i = 1; i < argc; i++)
        load(argv[i]);
    if (argc == 1 && strncmp(name, "fuzz_", 5) == 0)
        load_folder(name + 5);
    for (size_t i = 0; i < input_count; i++)
        run(inputs[i]);
    if (argc == 1)
        for (uint64_t left = number_of("REPLAY_RUNS", 20000); left; left--)
            run_mutated(&rand);
    for (size_t i = 0; i < input_count; i++)
        free((void *)inputs[i].data);
    return 0;
}
