/* A bad disk and a jumping clock, put between a program and its C library by LD_PRELOAD.

   Steered while the program runs by the file SHIM_CONTROL, which it maps (layout: struct control; shim.py writes it):
   rules that fail, shorten or delay calls on files whose path holds a text, and an offset of the wall clock.
   With SHIM_RECORD, what is done to files whose path holds SHIM_MATCH is appended to that file, in the order in which it
   was done: a power cut can be replayed from it. What the kernel does by itself (a page that it writes back) and what
   is written through a mapping is not seen; SQLite writes nothing but its -shm file, which no recovery reads, so. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define RULES 8
#define PATH 1024

enum { READ = 1, WRITE = 2, SYNC = 4, TRUNCATE = 8, OPEN = 16, ALLOCATE = 32, UNLINK = 64, RENAME = 128 };

struct rule {
    int32_t operations; /* 0: the rule is off */
    int32_t error;      /* errno; 0: the call goes on, after the delay or shortened */
    int64_t skip;       /* so many calls go through first */
    int64_t times;      /* then so many are met; -1: all of them */
    int64_t shorten;    /* a write takes so many bytes at the most; -1: all */
    int64_t delay_us;
    int64_t hits;
    char part[80]; /* of the path; with a $ behind it, its end */
};

struct control {
    int64_t clock_offset_ns;
    struct rule rules[RULES];
};

struct record {
    int32_t operation;
    int32_t path;   /* bytes of the path that follows, then those of data (RENAME: the new path) */
    int64_t offset; /* TRUNCATE, ALLOCATE: the new size; SYNC: -1 when it failed */
    int64_t data;
};

static struct control *control;
static int recording = -1;
static const char *match = "";
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SHIM_CONTROL");
    int descriptor = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (descriptor >= 0) {
        void *map = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        control = map == MAP_FAILED ? 0 : map;
        close(descriptor);
    }
    path = getenv("SHIM_RECORD");
    if (path && getenv("SHIM_MATCH")) {
        match = getenv("SHIM_MATCH");
        recording = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

static const char *path_of(int descriptor, char *path)
{
    char link[40];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH - 1);
    path[length < 0 ? 0 : length] = 0;
    errno = saved;
    return path;
}

static int fits(const char *path, const char *part)
{
    size_t all = strlen(path), length = strlen(part);
    if (!length || part[length - 1] != '$') return strstr(path, part) != 0;
    return all + 1 >= length && !strncmp(path + all + 1 - length, part, length - 1);
}

/* Whether the call fails (errno is set); *bytes may become less. */
static int met(int operation, const char *path, size_t *bytes)
{
    if (!control) return 0;
    for (int number = 0; number < RULES; number++) {
        struct rule *rule = &control->rules[number];
        if (!(rule->operations & operation) || !fits(path, rule->part)) continue;
        if (__atomic_load_n(&rule->skip, __ATOMIC_SEQ_CST) > 0
            && __atomic_fetch_sub(&rule->skip, 1, __ATOMIC_SEQ_CST) > 0) continue;
        int64_t left = __atomic_load_n(&rule->times, __ATOMIC_SEQ_CST);
        while (left > 0
               && !__atomic_compare_exchange_n(&rule->times, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
        if (!left) continue; /* it stays 0: below that it would be for ever */
        __atomic_fetch_add(&rule->hits, 1, __ATOMIC_SEQ_CST);
        if (rule->delay_us > 0) {
            struct timespec wait = {rule->delay_us / 1000000, rule->delay_us % 1000000 * 1000};
            nanosleep(&wait, 0);
        }
        if (bytes && rule->shorten >= 0 && *bytes > (size_t)rule->shorten) *bytes = rule->shorten;
        if (rule->error) {
            errno = rule->error;
            return 1;
        }
    }
    return 0;
}

static int watched(const char *path)
{
    return recording >= 0 && strstr(path, match) && !strstr(path, "-shm") && !strstr(path, " (deleted)");
}

static void note(int operation, const char *path, int64_t offset, const void *data, int64_t bytes)
{
    int saved = errno;
    struct record head = {operation, strlen(path), offset, bytes};
    char *all = malloc(sizeof head + head.path + bytes);
    memcpy(all, &head, sizeof head);
    memcpy(all + sizeof head, path, head.path);
    memcpy(all + sizeof head + head.path, data, bytes);
    if (syscall(SYS_write, recording, all, sizeof head + head.path + bytes) < 0) abort();
    free(all);
    errno = saved;
}

/* Runs a call, and notes it when it worked. The lock makes the order of the notes that of the calls. */
#define NOTED(operation, path, call, offset, data, bytes)      \
    if (!watched(path)) return call;                           \
    pthread_mutex_lock(&order);                                \
    long done = call;                                          \
    if (done >= 0) note(operation, path, offset, data, bytes); \
    pthread_mutex_unlock(&order);                              \
    return done

ssize_t write(int descriptor, const void *data, size_t bytes)
{
    char path[PATH];
    if (path_of(descriptor, path)[0] != '/') return syscall(SYS_write, descriptor, data, bytes);
    if (met(WRITE, path, &bytes)) return -1;
    int64_t end = lseek(descriptor, 0, SEEK_CUR);
    NOTED(WRITE, path, syscall(SYS_write, descriptor, data, bytes), end, data, done);
}

ssize_t pwrite64(int descriptor, const void *data, size_t bytes, off64_t offset)
{
    char path[PATH];
    if (met(WRITE, path_of(descriptor, path), &bytes)) return -1;
    NOTED(WRITE, path, syscall(SYS_pwrite64, descriptor, data, bytes, offset), offset, data, done);
}

ssize_t pwrite(int descriptor, const void *data, size_t bytes, off_t offset)
{
    return pwrite64(descriptor, data, bytes, offset);
}

ssize_t pread64(int descriptor, void *data, size_t bytes, off64_t offset)
{
    char path[PATH];
    if (met(READ, path_of(descriptor, path), &bytes)) return -1;
    return syscall(SYS_pread64, descriptor, data, bytes, offset);
}

ssize_t pread(int descriptor, void *data, size_t bytes, off_t offset)
{
    return pread64(descriptor, data, bytes, offset);
}

/* A sync that failed is noted, too: what it was for is on the disk or not, and no later sync puts it there. */
static int unsynced(const char *path)
{
    if (watched(path)) {
        pthread_mutex_lock(&order);
        note(SYNC, path, -1, "", 0);
        pthread_mutex_unlock(&order);
    }
    return -1;
}

int fsync(int descriptor)
{
    char path[PATH];
    if (met(SYNC, path_of(descriptor, path), 0)) return unsynced(path);
    NOTED(SYNC, path, syscall(SYS_fsync, descriptor), 0, "", 0);
}

int fdatasync(int descriptor)
{
    char path[PATH];
    if (met(SYNC, path_of(descriptor, path), 0)) return unsynced(path);
    NOTED(SYNC, path, syscall(SYS_fdatasync, descriptor), 0, "", 0);
}

int ftruncate64(int descriptor, off64_t size)
{
    char path[PATH];
    if (met(TRUNCATE, path_of(descriptor, path), 0)) return -1;
    NOTED(TRUNCATE, path, syscall(SYS_ftruncate, descriptor, size), size, "", 0);
}

int ftruncate(int descriptor, off_t size)
{
    return ftruncate64(descriptor, size);
}

static int allocate(int descriptor, int64_t offset, int64_t bytes)
{
    char path[PATH];
    if (met(ALLOCATE, path_of(descriptor, path), 0)) return -1;
    NOTED(ALLOCATE, path, syscall(SYS_fallocate, descriptor, 0, offset, bytes), offset + bytes, "", 0);
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t bytes)
{
    return allocate(descriptor, offset, bytes) < 0 ? errno : 0;
}

int posix_fallocate(int descriptor, off_t offset, off_t bytes)
{
    return posix_fallocate64(descriptor, offset, bytes);
}

int unlink(const char *path)
{
    if (met(UNLINK, path, 0)) return -1;
    NOTED(UNLINK, path, syscall(SYS_unlinkat, AT_FDCWD, path, 0), 0, "", 0);
}

int rename(const char *path, const char *to)
{
    if (met(RENAME, path, 0)) return -1;
    NOTED(RENAME, path, syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, to, 0), 0, to, strlen(to));
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if ((flags & O_ACCMODE) != O_RDONLY && met(OPEN, path, 0)) return -1;
    return syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open64(path, flags, mode);
}

static int64_t offset_ns(void)
{
    return control ? __atomic_load_n(&control->clock_offset_ns, __ATOMIC_SEQ_CST) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (failed || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
    int64_t nanoseconds = now->tv_sec * INT64_C(1000000000) + now->tv_nsec + offset_ns();
    now->tv_sec = nanoseconds / 1000000000;
    now->tv_nsec = nanoseconds % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    now->tv_sec = fine.tv_sec;
    now->tv_usec = fine.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *kept)
{
    struct timespec fine;
    clock_gettime(CLOCK_REALTIME, &fine);
    if (kept) *kept = fine.tv_sec;
    return fine.tv_sec;
}
