/* Keeps established TCP connections alive when the host that owns them dies: holdfastd's client for C.
 *
 * One header, one source, no dependencies but libc. A control connection is for one thread at a time; open one for each thread.
 * Calls return 0, or -1; then holdfast_error_name and holdfast_error_message tell why. Offsets count bytes of a connection's
 * stream since it was registered; -1 stands for an offset that is not given. */
#ifndef HOLDFAST_H
#define HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HOLDFAST_DEFAULT_PATH "/run/holdfast/control.sock"

/* A control connection. */
typedef struct holdfast holdfast;

enum holdfast_retention {
  HOLDFAST_READ,    /* input is consumed when it is read */
  HOLDFAST_CONFIRM, /* input is consumed when the application says so */
};

enum holdfast_release {
  HOLDFAST_KEEP,  /* the connection goes on unprotected */
  HOLDFAST_CLOSE, /* an orderly end, protected until both sides have closed */
  HOLDFAST_RESET,
};

typedef struct holdfast_registration {
  char id[17];      /* stable over failovers */
  bool is_protected; /* the standby could continue the connection now */
  char reason[240]; /* why not */
} holdfast_registration;

/* A connection that counts its offsets. Fill one in with holdfast_protect or holdfast_adopt_next. */
typedef struct holdfast_stream {
  int fd;
  char id[17];
  char *key;         /* what was given at registration, or NULL; freed by holdfast_stream_free */
  int64_t consumed;  /* input offset of the next byte that is read */
  int64_t produced;  /* output offset of the next byte that is written */
  int64_t skip;      /* output that the peer has or will get, and that is skipped when it is written again */
  void *state;       /* the newest covered checkpoint's, on adoption, or NULL; freed by holdfast_stream_free */
  size_t state_size;
} holdfast_stream;

/* Connects to the daemon. NULL with errno set when it cannot; ENOENT and ECONNREFUSED: it does not run.
 * path: NULL for the default. */
holdfast *holdfast_open(const char *path);
void holdfast_free(holdfast *daemon);

/* Of the last call that failed: "io.holdfast.NotActive" when the daemon refused, "system" or "closed" otherwise. */
const char *holdfast_error_name(const holdfast *daemon);
const char *holdfast_error_message(const holdfast *daemon);

/* Puts a connected TCP socket under protection. Nobody may read or write it during the call. key: NULL for none. */
int holdfast_register(
  holdfast *daemon, int fd, const char *service, const char *key, enum holdfast_retention retention,
  holdfast_registration *result);
/* Input up to consumed need not come again, for connections with HOLDFAST_CONFIRM. */
int holdfast_confirm(holdfast *daemon, const char *id, int64_t consumed);
/* state is valid after consuming and producing so many bytes. Output that is written after the call has returned leaves the host
 * only when the standby has it. */
int holdfast_checkpoint(
  holdfast *daemon, const char *id, const void *state, size_t size, int64_t consumed, int64_t produced);
int holdfast_release(holdfast *daemon, const char *id, enum holdfast_release how);

/* Begins to wait for connections of a service that this host continues. The control connection is good for nothing else
 * afterwards; holdfast_fd is readable when a connection may have come. */
int holdfast_adopt(holdfast *daemon, const char *service);
/* Waits for the next one. The socket is non-blocking. When this process has no room for it the daemon offers it again: open another
 * control connection and adopt when there is room. */
int holdfast_adopt_next(holdfast *daemon, holdfast_stream *stream);
int holdfast_fd(const holdfast *daemon);

/* As holdfast_register, and fills in stream, which takes fd over. */
int holdfast_protect(
  holdfast *daemon, int fd, const char *service, const char *key, enum holdfast_retention retention,
  holdfast_stream *stream);
/* As read(2) and write(2), counting. holdfast_write skips what is to be skipped and counts it as written. */
ssize_t holdfast_read(holdfast_stream *stream, void *buffer, size_t size);
ssize_t holdfast_write(holdfast_stream *stream, const void *data, size_t size);
/* The application makes its output anew from produced on: what has been sent beyond is skipped. -1, EINVAL beyond that. */
int holdfast_rewind(holdfast_stream *stream, int64_t produced);
/* Confirms what was read so far; makes a checkpoint that is valid after what was read and written so far. */
int holdfast_stream_confirm(holdfast *daemon, const holdfast_stream *stream);
int holdfast_stream_checkpoint(holdfast *daemon, const holdfast_stream *stream, const void *state, size_t size);
/* Ends the connection (an end that has come already is none to complain of) and frees the stream. */
int holdfast_stream_end(holdfast *daemon, holdfast_stream *stream, enum holdfast_release how);
/* Closes the socket and frees what the stream holds. */
void holdfast_stream_free(holdfast_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
