/* Kills the process at one of its synchronisations with the disk: before the one with the number SYNC_AT, counted from one, or
 * after it with SYNC_AFTER set. With SYNC_ARMED the count begins once that file is there, and the file goes before the process
 * does. Loaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_int seen;

static void die(const char *armed)
{
    if (armed)
        unlink(armed);
    raise(SIGKILL);
}

static int counted(const char *name, int file)
{
    int (*original)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *armed = getenv("SYNC_ARMED"), *wanted = getenv("SYNC_AT");
    int now = 0, result;

    if (wanted && (!armed || access(armed, F_OK) == 0))
        now = atomic_fetch_add(&seen, 1) + 1 == atoi(wanted);
    if (now && !getenv("SYNC_AFTER"))
        die(armed);
    result = original(file);
    if (now)
        die(armed);
    return result;
}

int fsync(int file)
{
    return counted("fsync", file);
}

int fdatasync(int file)
{
    return counted("fdatasync", file);
}
