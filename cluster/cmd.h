/* Commands: what the program does when it is called with a word, one file per command (cmd_NAME.c).
 *
 * A command gets argv[0] = its own name ("get"), parses its options with getopt_long, prints answers
 * on stdout and sentences about failures on stderr, and returns an exit status. It never calls exit,
 * never forks after LevelDB was opened, and answers --help (on stdout, with examples, status 0).
 *
 * The program's table (fs/main.c) is made of rows of struct command; those of this folder come from
 * CLUSTER_COMMANDS.
 */
#ifndef CLUSTER_CMD_H
#define CLUSTER_CMD_H

#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* The exit statuses, the same for every command; in the manual. */
enum cmd_exit {
    CMD_OK = 0,
    CMD_FAILED = 1,         /* what was asked for did not happen, or may not have; stderr says which */
    CMD_USAGE = 2,          /* unknown option, missing or bad argument; nothing was tried */
    CMD_NOT_FOUND = 3,      /* no key, no name, no entry, no member matches */
    CMD_REMOVED = 4,        /* mount, serve: it was removed from its cluster, and need not be started again */
};

struct command {
    const char *name;       /* "get" */
    const char *arguments;  /* "KEY [END]", for the one-line help */
    const char *help;       /* "print keys and their values" */
    int (*run)(int argc, char **argv);
};

int cmd_get(int argc, char **argv);
int cmd_put(int argc, char **argv);
int cmd_del(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_member(int argc, char **argv);
int cmd_rebuild(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_wal(int argc, char **argv);

/* Rows for the program's table: X(name, function, arguments, help). */
#define CLUSTER_COMMANDS(X)                                                                        \
    X("status", cmd_status, "[DIR]", "show how a member is: revision, leader, quota, last error")  \
    X("get", cmd_get, "KEY [END]", "print keys and their values")                                  \
    X("put", cmd_put, "KEY [VALUE]", "store a value, or standard input")                           \
    X("del", cmd_del, "KEY [END]", "delete keys")                                                  \
    X("ls", cmd_ls, "[KEY]", "list keys like a directory")                                         \
    X("compact", cmd_compact, "REVISION", "forget history before a revision")                      \
    X("member", cmd_member, "list|add|remove|promote|transfer",                                   \
      "show or change who belongs to the cluster")                                                 \
    X("rebuild", cmd_rebuild, "[--keep] [--data DIR]", \
      "have a stopped member fetch its store from the others") \
    X("serve", cmd_serve, "[-f] [OPTION..]", "run a member without a mount")                      \
    X("stop", cmd_stop, "[DIR]", "stop a member")                                                  \
    X("wal", cmd_wal, "dump DIR", "print the log of a stopped member")

/* ---- what the commands share (cmd.c) ---- */

/* Prints "concordfs COMMAND: TEXT" on stderr, and returns CMD_FAILED, or CMD_NOT_FOUND for NOT_FOUND.
 * For a code of kind UNKNOWN the line says that it may have happened. */
int cmd_fail(const char *command, enum err_code code, const struct err *err);
/* Prints "concordfs COMMAND: TEXT" and where help is; returns CMD_USAGE. */
int cmd_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For getopt_long's '?' and ':' (the option string begins with ':', so that getopt itself is silent). */
int cmd_bad_option(const char *command, int option, char **argv);
/* KEY and END, or KEY and one option that stands for an END, as a range; get and del have them.
 * ret_key borrows from the words. CMD_USAGE with a sentence when they do not go together. */
struct cmd_keys {
    bool is_prefix, is_from_key;
};
int cmd_parse_keys(const char *command, struct cmd_keys keys, int count, char **words,
                   struct bytes *ret_key, struct buf *ret_end);
/* A whole decimal number in [minimum, maximum], without sign, blanks or anything after it. */
enum err_code cmd_parse_number(const char *text, long long minimum, long long maximum,
                               long long *ret_number) MUST_USE;
/* Flushes stdout. CMD_FAILED with a line on stderr when something printed was lost, else status. */
int cmd_finish(const char *command, int status);

/* Runs the row called argv[0] of a table that ends with a row without a name. An unknown word is
 * CMD_USAGE. */
int cmd_run(const struct command *table, int argc, char **argv);
/* One line for each row. */
void cmd_list(const struct command *table);

#endif
