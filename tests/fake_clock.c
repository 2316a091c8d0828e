/* A clock that somebody sets back by an hour: as soon as the file CLOCK_FILE is there. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int is_set_back(void) { const char *path = getenv("CLOCK_FILE"); return path && access(path, F_OK) == 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, now);
    if (done == 0 && clock == CLOCK_REALTIME && is_set_back()) now->tv_sec -= 3600;
    return done;
}
