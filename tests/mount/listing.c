/* usage: listing FOLDER COUNT
 *
 * Makes COUNT names "stays-N", then lists the folder again and again while another process makes and
 * removes names of its own, before, between and behind them: each listing has every name that stays
 * exactly once, no name twice, and none that was never made. Also a listing that goes back by seekdir.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LISTINGS 6

static unsigned count;
static unsigned char *seen;

static void die(const char *text)
{
    printf("%s: %s\n", text, strerror(errno));
    exit(1);
}

static void make(const char *name)
{
    int file = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (file < 0 || close(file))
        die(name);
}

static void come_and_go(void)
{
    static const char *const heads[] = {"a", "stays-", "stays-5", "z"};
    for (unsigned i = 0;; i++) {
        char name[64], other[64];
        snprintf(name, sizeof(name), "%sgoes%u", heads[i % 4], i % 50);
        snprintf(other, sizeof(other), "%smoved%u", heads[(i + 1) % 4], i % 50);
        make(name);
        if (i % 3 == 0) {
            if (rename(name, other) || unlink(other))
                die(name);
        } else if (unlink(name)) {
            die(name);
        }
    }
}

/* The number of a name that stays, or -1. */
static long number_of(const char *name)
{
    char *end;
    if (strncmp(name, "stays-", 6))
        return -1;
    long number = strtol(name + 6, &end, 10);
    return *end || end == name + 6 || number < 0 || number >= (long)count ? -1 : number;
}

static int check_all_seen(unsigned listing)
{
    int wrong = 0;
    for (unsigned i = 0; i < count; i++)
        if (seen[i] != 1) {
            if (wrong++ < 5)
                printf("listing %u: stays-%u was listed %u times\n", listing, i, seen[i]);
            else
                break;
        }
    return wrong;
}

static int list(unsigned listing)
{
    int wrong = 0;
    DIR *folder = opendir(".");
    memset(seen, 0, count);
    errno = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        long number = number_of(entry->d_name);
        if (number >= 0) {
            seen[number]++;
        } else if (entry->d_name[0] != '.' && !strstr(entry->d_name, "goes") &&
                   !strstr(entry->d_name, "moved")) {
            printf("listing %u: \"%s\" was never made\n", listing, entry->d_name);
            wrong++;
        }
    }
    if (!folder || errno)
        die("readdir");
    closedir(folder);
    return wrong + check_all_seen(listing);
}

/* Goes back to a place in the middle and lists the rest again: nothing of it is missing. */
static int list_again_from_the_middle(void)
{
    unsigned behind = 0, again = 0;
    long middle = -1;
    DIR *folder = opendir(".");
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (middle >= 0)
            behind += number_of(entry->d_name) >= 0;
        else if (number_of(entry->d_name) == (long)(count / 2))
            middle = telldir(folder);
    }
    seekdir(folder, middle);
    for (struct dirent *entry; (entry = readdir(folder));)
        again += number_of(entry->d_name) >= 0;
    rewinddir(folder);
    unsigned all = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        all += number_of(entry->d_name) >= 0;
    closedir(folder);
    if (behind == again && all == count)
        return 0;
    printf("behind the middle %u, again %u; after rewinddir %u of %u\n", behind, again, all, count);
    return 1;
}

int main(int argc, char **argv)
{
    int wrong = 0;
    if (argc != 3 || chdir(argv[1]))
        return 2;
    count = (unsigned)atoi(argv[2]);
    seen = calloc(count, 1);
    for (unsigned i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof(name), "stays-%u", i);
        make(name);
    }
    pid_t other = fork();
    if (other == 0)
        come_and_go();
    for (unsigned i = 0; i < LISTINGS; i++)
        wrong += list(i);
    wrong += list_again_from_the_middle();
    if (waitpid(other, NULL, WNOHANG) != 0) {
        printf("the process that makes names come and go has ended\n");
        wrong++;
    }
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    wrong += list(LISTINGS);
    free(seen);
    return wrong ? 1 : 0;
}
