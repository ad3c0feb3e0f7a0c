/* Executes the conformance script's commands with the C library: one a line on standard input, one answer a line.
 *
 * driver CONTROL */
#define _GNU_SOURCE
#include "holdfast.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 26, LONGEST = 1 << 20 };

static holdfast *daemon_of_host;
static const char *control;
static int listener = -1;
static holdfast_stream streams[MOST];
static char line[LONGEST];

static void fail_if(int result) {
  if (result < 0) printf("error %s\n", holdfast_error_name(daemon_of_host));
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static size_t from_hex(const char *text, unsigned char *bytes) {
  size_t count = strlen(text) / 2;
  for (size_t index = 0; index < count; index++) {
    unsigned value;
    sscanf(text + 2 * index, "%2x", &value);
    bytes[index] = (unsigned char)value;
  }
  return count;
}

static void print_hex(const void *bytes, size_t count) {
  for (size_t index = 0; index < count; index++) printf("%02x", ((const unsigned char *)bytes)[index]);
}

static void describe(const holdfast_stream *stream) {
  printf("consumed=%" PRId64 " produced=%" PRId64 " skip=%" PRId64 "\n", stream->consumed, stream->produced, stream->skip);
}

static void wait_for(int fd, short events) {
  struct pollfd one = {.fd = fd, .events = events};
  if (poll(&one, 1, -1) < 0) die("poll");
}

static void listen_on(int port) {
  listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 16) < 0) die("listen");
}

static void adopt(holdfast_stream *stream, const char *service) {
  holdfast *waiting = holdfast_open(control);
  if (!waiting) die("adopt");
  if (holdfast_adopt(waiting, service) < 0 || holdfast_adopt_next(waiting, stream) < 0) {
    printf("error %s\n", holdfast_error_message(waiting));
    holdfast_free(waiting);
    return;
  }
  holdfast_free(waiting);
  printf("ok %s %s ", stream->id, stream->key ? stream->key : "-");
  if (stream->state) print_hex(stream->state, stream->state_size); else printf("-");
  printf(" ");
  describe(stream);
}

static void read_all(holdfast_stream *stream, size_t wanted) {
  unsigned char *bytes = malloc(wanted);
  size_t done = 0;
  while (done < wanted) {
    ssize_t count = holdfast_read(stream, bytes + done, wanted - done);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      wait_for(stream->fd, POLLIN);
      continue;
    }
    if (count <= 0) break;
    done += (size_t)count;
  }
  printf("ok ");
  print_hex(bytes, done);
  printf("\n");
  free(bytes);
}

static void write_all(holdfast_stream *stream, const char *hex) {
  unsigned char *bytes = malloc(strlen(hex) / 2 + 1);
  size_t size = from_hex(hex, bytes), done = 0;
  while (done < size) {
    ssize_t count = holdfast_write(stream, bytes + done, size - done);
    if (count >= 0) {
      done += (size_t)count;
    } else if (errno == EAGAIN || errno == EINTR) {
      wait_for(stream->fd, POLLOUT);
    } else {
      die("write");
    }
  }
  free(bytes);
}

static void perform(char *words[], int count) {
  const char *verb = words[0];
  if (strcmp(verb, "listen") == 0) {
    listen_on(atoi(words[1]));
    printf("ok\n");
    return;
  }
  if (strcmp(verb, "missing") == 0) return fail_if(holdfast_confirm(daemon_of_host, "0123456789abcdef", 0));
  holdfast_stream *stream = &streams[words[1][0] - 'a'];
  int result = 0;
  if (strcmp(verb, "accept") == 0) {
    int client = accept(listener, NULL, NULL);
    result = holdfast_protect(
      daemon_of_host, client, words[2], strcmp(words[4], "-") == 0 ? NULL : words[4],
      strcmp(words[3], "confirm") == 0 ? HOLDFAST_CONFIRM : HOLDFAST_READ, stream);
    if (result == 0) printf("ok %s\n", stream->id);
    return fail_if(result);
  }
  if (strcmp(verb, "adopt") == 0) return adopt(stream, words[2]);
  if (strcmp(verb, "read") == 0) return read_all(stream, (size_t)atoi(words[2]));
  if (strcmp(verb, "end") == 0) {
    holdfast_stream last = *stream;
    result = holdfast_stream_end(
      daemon_of_host, stream, strcmp(words[2], "close") == 0 ? HOLDFAST_CLOSE : HOLDFAST_RESET);
    if (result == 0) {
      printf("ok ");
      describe(&last);
    }
    return fail_if(result);
  }
  unsigned char *bytes = calloc(1, 4 * LONGEST);
  if (strcmp(verb, "write") == 0) {
    write_all(stream, words[2]);
  } else if (strcmp(verb, "rewind") == 0) {
    result = holdfast_rewind(stream, atoll(words[2]));
  } else if (strcmp(verb, "confirm") == 0) {
    result = count > 2 ? holdfast_confirm(daemon_of_host, stream->id, atoll(words[2]))
                       : holdfast_stream_confirm(daemon_of_host, stream);
  } else if (strcmp(verb, "checkpoint") == 0) {
    result = holdfast_stream_checkpoint(daemon_of_host, stream, bytes, from_hex(words[2], bytes));
  } else if (strcmp(verb, "raw-checkpoint") == 0) {
    result = holdfast_checkpoint(
      daemon_of_host, stream->id, bytes, (size_t)atoi(words[2]), atoll(words[3]), atoll(words[4]));
  } else if (strcmp(verb, "again") == 0) {
    holdfast_registration registration;
    result = holdfast_register(daemon_of_host, stream->fd, words[2], NULL, HOLDFAST_READ, &registration);
  } else {
    die(verb);
  }
  free(bytes);
  if (result == 0) {
    printf("ok ");
    describe(stream);
  }
  fail_if(result);
}

int main(int count, char **arguments) {
  control = count > 1 ? arguments[1] : NULL;
  daemon_of_host = holdfast_open(control);
  if (!daemon_of_host) die("holdfastd");
  while (fgets(line, sizeof line, stdin)) {
    char *words[8];
    int words_count = 0;
    for (char *word = strtok(line, " \n"); word && words_count < 8; word = strtok(NULL, " \n")) words[words_count++] = word;
    if (words_count == 0) continue;
    perform(words, words_count);
    fflush(stdout);
  }
  holdfast_free(daemon_of_host);
  return 0;
}
