/*
 * Loaded into a program (LD_PRELOAD), moves its wall clock by the seconds that stand in CLOCK_OFFSET_FILE, read anew at
 * most ten times a second. CLOCK_MONOTONIC stays as it is: as when an operator or a time server sets the clock.
 * The kernel does not know of it: what waits until a time of the moved clock is told the kernel's time instead.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*gettime_t)(clockid_t, struct timespec *);

static gettime_t real_gettime(void) {
  static gettime_t real;
  if (real == NULL) real = (gettime_t)dlsym(RTLD_NEXT, "clock_gettime");
  return real;
}

static long offset(void) {
  static long seconds;
  static long long read_at;
  struct timespec now;
  real_gettime()(CLOCK_MONOTONIC, &now);
  long long at = now.tv_sec * 10LL + now.tv_nsec / 100000000LL;
  if (at != read_at) {
    read_at = at;
    const char *path = getenv("CLOCK_OFFSET_FILE");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
      char text[33] = {0};
      if (read(file, text, 32) > 0) seconds = strtol(text, NULL, 10);
      close(file);
    }
  }
  return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  int failed = real_gettime()(clock, at);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += offset();
  return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
  if (at != NULL) *at = now.tv_sec;
  return now.tv_sec;
}

typedef int (*timedwait_t)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
typedef int (*clockwait_t)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);

/* No machine has been up for so long: a larger time is one of the wall clock. */
static const time_t LONGEST_UPTIME = 1000000000;

static struct timespec of_kernel(const struct timespec *until) {
  struct timespec moved = *until;
  if (moved.tv_sec > LONGEST_UPTIME) moved.tv_sec -= offset();
  return moved;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
  static timedwait_t real;
  /* By version: the name alone may give the one of before 2003. */
  if (real == NULL) real = (timedwait_t)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (real == NULL) real = (timedwait_t)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  struct timespec moved = of_kernel(until);
  return real(cond, mutex, &moved);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
  static clockwait_t real;
  if (real == NULL) real = (clockwait_t)dlsym(RTLD_NEXT, "pthread_cond_clockwait");
  struct timespec moved = of_kernel(until);
  return real(cond, mutex, clock, &moved);
}
