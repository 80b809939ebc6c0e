#include "cluster/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/mem.h"

#define LANE_THREADS_MAX 2
#define BULK_NICE 10

struct lane {
    struct worker_threads *owner;
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct list queue;
    pthread_t threads[LANE_THREADS_MAX];
    unsigned thread_count, thread_limit;
    bool stopping;
};

struct worker_threads {
    struct worker door;
    struct lane lanes[WORKER_LANE_COUNT];
    void (*wake)(void *context);
    void *context;
    pthread_mutex_t mutex;
    struct list completed;
};

static void completed_push(struct worker_threads *threads, struct worker_job *job)
{
    pthread_mutex_lock(&threads->mutex);
    list_push_back(&threads->completed, &job->link);
    pthread_mutex_unlock(&threads->mutex);
    threads->wake(threads->context);
}

static void *lane_main(void *argument)
{
    struct lane *lane = argument;
    if (lane == &lane->owner->lanes[WORKER_BULK])
        (void)!nice(BULK_NICE);         /* on Linux this thread alone */
    pthread_mutex_lock(&lane->mutex);
    for (;;) {
        struct list *link = list_pop_front(&lane->queue);
        if (link) {
            pthread_mutex_unlock(&lane->mutex);
            struct worker_job *job = container_of(link, struct worker_job, link);
            job->run(job);
            completed_push(lane->owner, job);
            pthread_mutex_lock(&lane->mutex);
        } else if (lane->stopping) {
            break;
        } else {
            pthread_cond_wait(&lane->filled, &lane->mutex);
        }
    }
    pthread_mutex_unlock(&lane->mutex);
    return NULL;
}

static void submit(struct worker *worker, enum worker_lane id, struct worker_job *job)
{
    struct worker_threads *threads = container_of(worker, struct worker_threads, door);
    struct lane *lane = &threads->lanes[id];
    pthread_mutex_lock(&lane->mutex);
    CHECK(!lane->stopping);
    bool busy = !list_is_empty(&lane->queue) || lane->thread_count == 0;
    list_push_back(&lane->queue, &job->link);
    if (lane->thread_count < lane->thread_limit && (busy || lane->thread_count < 1)) {
        int failed = pthread_create(&lane->threads[lane->thread_count], NULL, lane_main, lane);
        CHECK(!failed || lane->thread_count > 0);
        lane->thread_count += !failed;
    }
    pthread_cond_signal(&lane->filled);
    pthread_mutex_unlock(&lane->mutex);
}

struct worker_threads *worker_threads_new(void (*wake)(void *context), void *context)
{
    struct worker_threads *threads = mem_xzalloc(sizeof *threads);
    threads->door.submit = submit;
    threads->wake = wake;
    threads->context = context;
    pthread_mutex_init(&threads->mutex, NULL);
    list_init(&threads->completed);
    for (int i = 0; i < WORKER_LANE_COUNT; i++) {
        struct lane *lane = &threads->lanes[i];
        lane->owner = threads;
        lane->thread_limit = i == WORKER_WORK ? 2 : 1;
        pthread_mutex_init(&lane->mutex, NULL);
        pthread_cond_init(&lane->filled, NULL);
        list_init(&lane->queue);
    }
    return threads;
}

struct worker *worker_threads_door(struct worker_threads *threads) { return &threads->door; }

void worker_threads_complete(struct worker_threads *threads)
{
    LIST_HEAD(ready);
    pthread_mutex_lock(&threads->mutex);
    list_splice_back(&ready, &threads->completed);
    pthread_mutex_unlock(&threads->mutex);
    struct list *link;
    while ((link = list_pop_front(&ready))) {
        struct worker_job *job = container_of(link, struct worker_job, link);
        job->done(job);
    }
}

static void lane_stop(struct lane *lane)
{
    pthread_mutex_lock(&lane->mutex);
    lane->stopping = true;
    pthread_cond_broadcast(&lane->filled);
    pthread_mutex_unlock(&lane->mutex);
    for (unsigned i = 0; i < lane->thread_count; i++)
        pthread_join(lane->threads[i], NULL);
}

void worker_threads_free(struct worker_threads *threads)
{
    if (!threads)
        return;
    for (int i = 0; i < WORKER_LANE_COUNT; i++)
        lane_stop(&threads->lanes[i]);
    worker_threads_complete(threads);
    for (int i = 0; i < WORKER_LANE_COUNT; i++) {
        pthread_mutex_destroy(&threads->lanes[i].mutex);
        pthread_cond_destroy(&threads->lanes[i].filled);
    }
    pthread_mutex_destroy(&threads->mutex);
    free(threads);
}
