// Stands between a process and the file system (LD_PRELOAD).
//
// SHIM_ROOT        only what lies under this directory is watched
// SHIM_LOG         each sync that succeeded is noted here: what it made durable, measured
//                  before the sync and so a lower bound
//                      F <inode> <size> <offset>           a file
//                      D <inode> <name>:<inode> ...        a directory
// SHIM_KEEP        a directory that gets a link, named by inode, to each file that was in
//                  a synced directory: a file deleted since is still on the device until
//                  the directory is synced again
// SHIM_FAIL_SYNC   once this file exists, syncs fail with EIO
// SHIM_FAIL_WRITE  once this file exists, the device is full: one short write, then ENOSPC
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int is_watched(int fd, char path[4096]) {
    const char *root = getenv("SHIM_ROOT");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = root ? readlink(link, path, 4095) : -1;
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, root, strlen(root)) == 0;
}

static int is_triggered(const char *name) {
    const char *path = getenv(name);
    return path && access(path, F_OK) == 0;
}

static void die(const char *what) {
    perror(what);
    abort();
}

// What a sync of this directory makes durable. The caller frees it.
static char *list(const char *path, ino_t inode) {
    char *line;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    DIR *dir = opendir(path);
    if (!out || !dir) die(path);
    fprintf(out, "D %lu", inode);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (entry->d_type == DT_REG) {
            char kept[4096];
            snprintf(kept, sizeof kept, "%s/%lu", getenv("SHIM_KEEP"), entry->d_ino);
            if (linkat(dirfd(dir), entry->d_name, AT_FDCWD, kept, 0) && errno != EEXIST) {
                // Gone or renamed since it was listed: not durable under this name yet.
                if (errno == ENOENT) continue;
                die(kept);
            }
        }
        fprintf(out, " %s:%lu", entry->d_name, entry->d_ino);
    }
    closedir(dir);
    fprintf(out, "\n");
    fclose(out);
    return line;
}

static int watched_sync(int fd, const char *name) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char path[4096];
    if (!is_watched(fd, path)) return real(fd);
    if (is_triggered("SHIM_FAIL_SYNC")) {
        errno = EIO;
        return -1;
    }
    const char *log_path = getenv("SHIM_LOG");
    if (!log_path) return real(fd);

    pthread_mutex_lock(&one_at_a_time);
    struct stat before;
    if (fstat(fd, &before)) die(path);
    char *line = NULL;
    if (S_ISDIR(before.st_mode)) {
        line = list(path, before.st_ino);
    } else if (asprintf(&line, "F %lu %ld %ld\n", before.st_ino, before.st_size, lseek(fd, 0, SEEK_CUR)) < 0) {
        die(path);
    }
    int result = real(fd);
    if (result == 0) {
        int log = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        size_t length = strlen(line);
        if (log < 0 || syscall(SYS_write, log, line, length) != (long)length) die(log_path);
        close(log);
    }
    free(line);
    pthread_mutex_unlock(&one_at_a_time);
    return result;
}

int fsync(int fd) { return watched_sync(fd, "fsync"); }

int fdatasync(int fd) { return watched_sync(fd, "fdatasync"); }

// How many of `count` bytes still fit; 0 if none.
static size_t fits(int fd, size_t count) {
    static int is_full = 0;
    char path[4096];
    if (!is_triggered("SHIM_FAIL_WRITE") || !is_watched(fd, path)) return count;
    if (__atomic_exchange_n(&is_full, 1, __ATOMIC_SEQ_CST)) return 0;
    return count / 2;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    size_t left = fits(fd, count);
    if (left == 0 && count > 0) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, left);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (fits(fd, 1) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (fits(fd, 1) == 0) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }
