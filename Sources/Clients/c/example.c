/* Echoes what clients send, shifted by how much of it there was: byte number n comes back as itself plus n. Run it on both hosts; a
 * client's stream survives the crash of one.
 *
 * The output at any offset follows from the input at the same offset, so there is no state but the offsets: input is confirmed when
 * its echo is written, what came after comes again, and the library skips the part of its echo that the client has. One process
 * for each connection keeps the example short. */
#define _GNU_SOURCE
#include "holdfast.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *control;

static holdfast *open_or_exit(void) {
  holdfast *daemon = holdfast_open(control);
  if (!daemon) {
    perror("holdfastd");
    exit(1);
  }
  return daemon;
}

/* daemon is this process's own. */
static void serve(holdfast *daemon, holdfast_stream *stream) {
  unsigned char buffer[4096];
  fcntl(stream->fd, F_SETFL, fcntl(stream->fd, F_GETFL) & ~O_NONBLOCK);
  /* Output was made of input byte by byte: it begins again where the input does. */
  if (holdfast_rewind(stream, stream->consumed) < 0) fprintf(stderr, "%s: less was sent than was confirmed\n", stream->id);
  while (1) {
    int64_t offset = stream->consumed;
    ssize_t count = holdfast_read(stream, buffer, sizeof buffer);
    if (count <= 0) break;
    for (ssize_t index = 0; index < count; index++) buffer[index] += (unsigned char)(offset + index);
    for (ssize_t done = 0; done < count;) {
      ssize_t written = holdfast_write(stream, buffer + done, (size_t)(count - done));
      if (written < 0) exit(1);
      done += written;
    }
    /* Output that is written but has not left would be lost with the host: only input whose echo is sent may go. The checkpoint
     * counts when its output has left, and holds on to the input until then. */
    if (holdfast_stream_checkpoint(daemon, stream, "", 0) < 0) {
      fprintf(stderr, "%s: %s\n", holdfast_error_name(daemon), holdfast_error_message(daemon));
    }
  }
  if (holdfast_stream_end(daemon, stream, HOLDFAST_CLOSE) < 0) fprintf(stderr, "%s\n", holdfast_error_message(daemon));
  holdfast_free(daemon);
}

int main(int count, char **arguments) {
  int port = count > 1 ? atoi(arguments[1]) : 7000;
  control = count > 2 ? arguments[2] : NULL;
  signal(SIGCHLD, SIG_IGN);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 128) < 0) {
    perror("listen");
    return 1;
  }
  holdfast *adoption = open_or_exit();
  if (holdfast_adopt(adoption, "shift") < 0) return 1;
  while (1) {
    struct pollfd waiting[] = {{.fd = listener, .events = POLLIN}, {.fd = holdfast_fd(adoption), .events = POLLIN}};
    if (poll(waiting, 2, -1) < 0) continue;
    holdfast_stream stream;
    if (waiting[0].revents) {
      int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
      if (client < 0) continue;
      if (fork() == 0) {
        holdfast *daemon = open_or_exit();
        if (holdfast_protect(daemon, client, "shift", NULL, HOLDFAST_CONFIRM, &stream) < 0) {
          fprintf(stderr, "%s: %s\n", holdfast_error_name(daemon), holdfast_error_message(daemon));
          exit(1);
        }
        serve(daemon, &stream);
        exit(0);
      }
      close(client);
    }
    if (waiting[1].revents) {
      if (holdfast_adopt_next(adoption, &stream) < 0) {
        fprintf(stderr, "adopt: %s\n", holdfast_error_message(adoption));
        return 1;
      }
      if (fork() == 0) {
        serve(open_or_exit(), &stream);
        exit(0);
      }
      holdfast_stream_free(&stream);
    }
  }
}
