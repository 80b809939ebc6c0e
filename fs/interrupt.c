#include "fs/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_SIZE_MAX 8192

static uint64_t bit(int signal_number) { return UINT64_C(1) << (signal_number - 1); }

static uint64_t line_value(const char *text, const char *label)
{
    const char *line = strstr(text, label);
    return line ? strtoull(line + strlen(label), NULL, 16) : 0;
}

bool interrupt_in_status(const char *text)
{
    uint64_t pending = line_value(text, "\nSigPnd:") | line_value(text, "\nShdPnd:");
    uint64_t stopping =
        bit(SIGKILL) | bit(SIGINT) | bit(SIGTERM) | bit(SIGQUIT) | bit(SIGHUP) | bit(SIGALRM);
    uint64_t blocked = line_value(text, "\nSigBlk:") & ~bit(SIGKILL);
    return pending & stopping & ~blocked;
}

bool interrupt_means_stop(pid_t tid)
{
    char path[48], text[STATUS_SIZE_MAX];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return true;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0)
        return true;
    text[size] = 0;
    return interrupt_in_status(text);
}
