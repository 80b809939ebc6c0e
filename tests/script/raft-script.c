/* raft-script [-c] [FILE...]: runs conversations with the raft core (each file, or standard input)
 * and writes them back with what the core really answered. With -c it only compares and exits 1
 * when something differs; with REWRITE=1 in the environment files are rewritten in place. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "tests/script/raft_env.h"
#include "tests/script/raft_vectors.h"

struct session {
    struct raft_env env;
    struct raft_vectors vectors;
};

static bool run_command(void *context, const struct script_command *command, struct buf *output)
{
    struct session *session = context;
    return raft_vectors_command(&session->vectors, command, output) ||
           raft_env_command(&session->env, command, output);
}

static bool read_all(FILE *file, struct buf *buf)
{
    size_t size;
    do {
        buf_reserve(buf, 65536);
        size = fread(buf->data + buf->size, 1, 65536, file);
        buf->size += size;
    } while (size > 0);
    buf_append_u8(buf, 0);
    return !ferror(file);
}

static void write_trace(struct trace *trace, const char *line)
{
    (void)trace;
    fprintf(stderr, "%s\n", line);
}

static size_t run(struct buf *text, const char *name, struct buf *out)
{
    static struct trace trace = {write_trace};
    struct session *session = mem_xzalloc(sizeof(*session));
    raft_env_init(&session->env);
    session->env.outer_trace = getenv("RAFT_TRACE") ? &trace : NULL;
    size_t different = script_run((char *)text->data, name, run_command, session, out);
    raft_env_release(&session->env);
    free(session);
    return different;
}

static bool write_file(const char *name, struct bytes from)
{
    FILE *file = fopen(name, "w");
    if (!file)
        return false;
    size_t size = fwrite(from.data, 1, from.size, file);
    return fclose(file) == 0 && size == from.size;
}

/* 0: all answers as expected; 1: some differ; 2: the file cannot be read or written. */
static int run_file(const char *name, bool compare)
{
    struct buf text = {0}, out = {0};
    FILE *file = name ? fopen(name, "r") : stdin;
    const char *shown = name ? name : "<stdin>";
    if (!file || !read_all(file, &text)) {
        perror(shown);
        return 2;
    }
    if (name)
        fclose(file);
    int status = run(&text, shown, &out) > 0;
    const char *rewrite = getenv("REWRITE");
    if (status && name && rewrite && strcmp(rewrite, "1") == 0)
        status = write_file(name, buf_bytes(&out)) ? 0 : 2;
    else if (!compare)
        fwrite(out.data, 1, out.size, stdout);
    buf_release(&text);
    buf_release(&out);
    return compare || status == 2 ? status : 0;
}

int main(int argc, char **argv)
{
    bool compare = false;
    int option, status = 0;
    while ((option = getopt(argc, argv, "c")) != -1) {
        if (option != 'c') {
            fprintf(stderr, "usage: raft-script [-c] [FILE...]\n");
            return 2;
        }
        compare = true;
    }
    if (optind == argc)
        return run_file(NULL, compare);
    for (int i = optind; i < argc; i++) {
        int result = run_file(argv[i], compare);
        status = result > status ? result : status;
    }
    return status;
}
