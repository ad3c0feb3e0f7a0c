#define _GNU_SOURCE
#include "holdfast.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_DESCRIPTORS = 253 /* SCM_MAX_FD */ };

struct holdfast {
  int fd;
  char *buffer; /* what has arrived and is not yet a whole message */
  size_t used, room;
  int descriptors[MOST_DESCRIPTORS]; /* of the message at the buffer's beginning */
  int descriptor_count;
  char name[96];
  char message[512];
};

/* MARK: Text that is being written */

struct text {
  char *bytes;
  size_t used, room;
  bool failed;
};

static void add(struct text *text, const char *bytes, size_t count) {
  if (text->failed) return;
  if (text->used + count > text->room) {
    size_t room = (text->used + count) * 2 + 256;
    char *larger = realloc(text->bytes, room);
    if (!larger) {
      text->failed = true;
      return;
    }
    text->bytes = larger;
    text->room = room;
  }
  memcpy(text->bytes + text->used, bytes, count);
  text->used += count;
}

static void add_string(struct text *text, const char *value) {
  add(text, "\"", 1);
  for (; *value; value++) {
    unsigned char byte = (unsigned char)*value;
    char escape[8];
    if (byte == '"' || byte == '\\') {
      char pair[2] = {'\\', (char)byte};
      add(text, pair, 2);
    } else if (byte < 0x20) {
      snprintf(escape, sizeof escape, "\\u%04x", byte);
      add(text, escape, 6);
    } else {
      add(text, value, 1);
    }
  }
  add(text, "\"", 1);
}

static void add_key(struct text *text, const char *key) {
  if (text->used && text->bytes[text->used - 1] != '{') add(text, ",", 1);
  add_string(text, key);
  add(text, ":", 1);
}

static void add_field(struct text *text, const char *key, const char *value) {
  if (!value) return;
  add_key(text, key);
  add_string(text, value);
}

static void add_offset(struct text *text, const char *key, int64_t value) {
  char digits[24];
  add_key(text, key);
  add(text, digits, (size_t)snprintf(digits, sizeof digits, "%" PRId64, value));
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void add_base64(struct text *text, const unsigned char *bytes, size_t size) {
  add(text, "\"", 1);
  for (size_t at = 0; at < size; at += 3) {
    size_t count = size - at < 3 ? size - at : 3;
    uint32_t group = (uint32_t)bytes[at] << 16 | (count > 1 ? (uint32_t)bytes[at + 1] << 8 : 0)
      | (count > 2 ? bytes[at + 2] : 0);
    char four[4] = {
      base64_digits[group >> 18], base64_digits[group >> 12 & 63], count > 1 ? base64_digits[group >> 6 & 63] : '=',
      count > 2 ? base64_digits[group & 63] : '='};
    add(text, four, 4);
  }
  add(text, "\"", 1);
}

/* MARK: JSON that is being read. A value is where it begins; NULL stands for one that is not there. */

static const char *skip_space(const char *at) {
  while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r') at++;
  return at;
}

/* One past a string that begins at its quote. */
static const char *skip_string(const char *at) {
  for (at++; *at && *at != '"'; at++) {
    if (*at == '\\' && at[1]) at++;
  }
  return *at ? at + 1 : NULL;
}

/* One past any value. */
static const char *skip_value(const char *at) {
  int depth = 0;
  do {
    at = skip_space(at);
    if (*at == '"') {
      at = skip_string(at);
      if (!at) return NULL;
    } else if (*at == '{' || *at == '[') {
      depth++;
      at++;
    } else if (*at == '}' || *at == ']') {
      depth--;
      at++;
    } else if (*at == ',' || *at == ':') {
      at++;
      if (depth == 0) return NULL;
      continue;
    } else {
      size_t count = strcspn(at, ",:{}[]\" \t\r\n");
      if (count == 0) return NULL;
      at += count;
    }
  } while (depth > 0);
  return at;
}

/* The value of an object's field. */
static const char *field(const char *object, const char *key) {
  if (!object) return NULL;
  const char *at = skip_space(object);
  if (*at++ != '{') return NULL;
  size_t length = strlen(key);
  while (true) {
    at = skip_space(at);
    if (*at != '"') return NULL;
    const char *name = at + 1;
    const char *end = skip_string(at);
    if (!end) return NULL;
    at = skip_space(end);
    if (*at++ != ':') return NULL;
    at = skip_space(at);
    /* The interface's names contain nothing that is escaped. */
    if ((size_t)(end - 1 - name) == length && memcmp(name, key, length) == 0) return *at == 'n' ? NULL : at;
    at = skip_value(at);
    if (!at) return NULL;
    at = skip_space(at);
    if (*at++ != ',') return NULL;
  }
}

static int hexadecimal(const char *at) {
  int value = 0;
  for (int index = 0; index < 4; index++) {
    char digit = at[index];
    int number = digit >= '0' && digit <= '9' ? digit - '0'
      : digit >= 'a' && digit <= 'f'          ? digit - 'a' + 10
      : digit >= 'A' && digit <= 'F'          ? digit - 'A' + 10
                                              : -1;
    if (number < 0) return -1;
    value = value << 4 | number;
  }
  return value;
}

/* A string's content, to be freed. */
static char *string(const char *value) {
  if (!value || *value != '"') return NULL;
  const char *end = skip_string(value);
  if (!end) return NULL;
  char *result = malloc((size_t)(end - value) + 1);
  if (!result) return NULL;
  char *out = result;
  for (const char *at = value + 1; at < end - 1; at++) {
    if (*at != '\\') {
      *out++ = *at;
      continue;
    }
    at++;
    switch (*at) {
      case 'n': *out++ = '\n'; break;
      case 't': *out++ = '\t'; break;
      case 'r': *out++ = '\r'; break;
      case 'b': *out++ = '\b'; break;
      case 'f': *out++ = '\f'; break;
      case 'u': {
        int unit = end - at > 5 ? hexadecimal(at + 1) : -1;
        if (unit < 0) {
          free(result);
          return NULL;
        }
        at += 4;
        uint32_t scalar = (uint32_t)unit;
        if (unit >= 0xd800 && unit < 0xdc00 && end - at > 7 && at[1] == '\\' && at[2] == 'u') {
          int low = hexadecimal(at + 3);
          if (low >= 0xdc00 && low < 0xe000) {
            scalar = 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
            at += 6;
          }
        }
        /* UTF-8 is never longer than the escape. */
        if (scalar < 0x80) {
          *out++ = (char)scalar;
        } else if (scalar < 0x800) {
          *out++ = (char)(0xc0 | scalar >> 6);
          *out++ = (char)(0x80 | (scalar & 63));
        } else if (scalar < 0x10000) {
          *out++ = (char)(0xe0 | scalar >> 12);
          *out++ = (char)(0x80 | (scalar >> 6 & 63));
          *out++ = (char)(0x80 | (scalar & 63));
        } else {
          *out++ = (char)(0xf0 | scalar >> 18);
          *out++ = (char)(0x80 | (scalar >> 12 & 63));
          *out++ = (char)(0x80 | (scalar >> 6 & 63));
          *out++ = (char)(0x80 | (scalar & 63));
        }
        break;
      }
      default: *out++ = *at;
    }
  }
  *out = 0;
  return result;
}

static void copy_string(char *target, size_t room, const char *value) {
  char *text = string(value);
  snprintf(target, room, "%s", text ? text : "");
  free(text);
}

static int64_t number(const char *value, int64_t otherwise) { return value ? strtoll(value, NULL, 10) : otherwise; }

static void *from_base64(const char *value, size_t *size) {
  char *text = string(value);
  if (!text) return NULL;
  unsigned char *bytes = malloc(strlen(text) + 1);
  uint32_t bits = 0;
  int count = 0;
  *size = 0;
  for (char *at = text; bytes && *at && *at != '='; at++) {
    const char *digit = strchr(base64_digits, *at);
    if (!digit) continue;
    bits = bits << 6 | (uint32_t)(digit - base64_digits);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes[(*size)++] = (unsigned char)(bits >> count);
    }
  }
  free(text);
  return bytes;
}

/* MARK: The control connection */

static int fail(holdfast *daemon, const char *name, const char *format, ...) {
  snprintf(daemon->name, sizeof daemon->name, "%s", name);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(daemon->message, sizeof daemon->message, format, arguments);
  va_end(arguments);
  return -1;
}

static int fail_system(holdfast *daemon, const char *call) {
  bool closed = errno == EPIPE || errno == ECONNRESET;
  return fail(daemon, closed ? "closed" : "system", "%s: %s", call, strerror(errno));
}

holdfast *holdfast_open(const char *path) {
  if (!path) path = HOLDFAST_DEFAULT_PATH;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return NULL;
  }
  strcpy(address.sun_path, path);
  holdfast *daemon = calloc(1, sizeof *daemon);
  if (!daemon) return NULL;
  daemon->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (daemon->fd < 0 || connect(daemon->fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int reason = errno;
    if (daemon->fd >= 0) close(daemon->fd);
    free(daemon);
    errno = reason;
    return NULL;
  }
  return daemon;
}

static void close_descriptors(holdfast *daemon) {
  for (int index = 0; index < daemon->descriptor_count; index++) {
    if (daemon->descriptors[index] >= 0) close(daemon->descriptors[index]);
  }
  daemon->descriptor_count = 0;
}

void holdfast_free(holdfast *daemon) {
  if (!daemon) return;
  close_descriptors(daemon);
  close(daemon->fd);
  free(daemon->buffer);
  free(daemon);
}

const char *holdfast_error_name(const holdfast *daemon) { return daemon->name; }
const char *holdfast_error_message(const holdfast *daemon) { return daemon->message; }
int holdfast_fd(const holdfast *daemon) { return daemon->fd; }

/* Sends a message, its descriptor in one piece with it. */
static int send_message(holdfast *daemon, const struct text *text, int descriptor) {
  size_t done = 0;
  while (done < text->used) {
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec vector = {text->bytes + done, text->used - done};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptor >= 0 && done == 0) {
      memset(&control, 0, sizeof control);
      message.msg_control = control.bytes;
      message.msg_controllen = sizeof control.bytes;
      struct cmsghdr *header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    ssize_t count = sendmsg(daemon->fd, &message, MSG_NOSIGNAL);
    if (count < 0) {
      if (errno == EINTR) continue;
      return fail_system(daemon, "sendmsg");
    }
    done += (size_t)count;
  }
  return 0;
}

/* Reads until a whole message is there, and returns its length without the NUL. Descriptors belong to the last message of the read
 * that brought them; the daemon sends one with each message of Adopt, so each read ends with the message that they belong to. */
static ssize_t receive_message(holdfast *daemon) {
  while (true) {
    char *end = daemon->used ? memchr(daemon->buffer, 0, daemon->used) : NULL;
    if (end) return end - daemon->buffer;
    if (daemon->room - daemon->used < 65536) {
      size_t room = daemon->room * 2 + 131072;
      char *larger = realloc(daemon->buffer, room);
      if (!larger) return fail_system(daemon, "realloc");
      daemon->buffer = larger;
      daemon->room = room;
    }
    union {
      struct cmsghdr header;
      char bytes[CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
    } control;
    struct iovec vector = {daemon->buffer + daemon->used, daemon->room - daemon->used};
    struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t count = recvmsg(daemon->fd, &message, MSG_CMSG_CLOEXEC);
    if (count < 0) {
      if (errno == EINTR) continue;
      return fail_system(daemon, "recvmsg");
    }
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      size_t number_of = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t index = 0; index < number_of; index++) {
        int descriptor;
        memcpy(&descriptor, CMSG_DATA(header) + index * sizeof descriptor, sizeof descriptor);
        if (daemon->descriptor_count < MOST_DESCRIPTORS) {
          daemon->descriptors[daemon->descriptor_count++] = descriptor;
        } else {
          close(descriptor);
        }
      }
    }
    if (message.msg_flags & MSG_CTRUNC) {
      /* Whose they were cannot be told. The daemon offers again what it sent to somebody who has hung up. */
      close_descriptors(daemon);
      shutdown(daemon->fd, SHUT_RDWR);
      return fail(
        daemon, "system", "an adopted connection did not fit into this process: raise its limit of open files and adopt again");
    }
    if (count == 0) return fail(daemon, "closed", "holdfastd closed the connection");
    daemon->used += (size_t)count;
  }
}

static void drop_message(holdfast *daemon, ssize_t length) {
  size_t gone = (size_t)length + 1;
  memmove(daemon->buffer, daemon->buffer + gone, daemon->used - gone);
  daemon->used -= gone;
}

/* The parameters of the message at the buffer's beginning, or NULL when it is an error. */
static const char *parameters(holdfast *daemon) {
  const char *error = field(daemon->buffer, "error");
  const char *found = field(daemon->buffer, "parameters");
  if (!error) return found ? found : "{}";
  copy_string(daemon->name, sizeof daemon->name, error);
  /* Each error has one parameter, which says what is wrong. */
  daemon->message[0] = 0;
  const char *at = found ? skip_space(found + 1) : NULL;
  if (at && *at == '"' && (at = skip_string(at))) {
    at = skip_space(at);
    if (*at == ':') copy_string(daemon->message, sizeof daemon->message, skip_space(at + 1));
  }
  return NULL;
}

static void begin(struct text *text, const char *method) {
  memset(text, 0, sizeof *text);
  add(text, "{\"method\":\"io.holdfast.", 23);
  add(text, method, strlen(method));
  add(text, "\",\"parameters\":{", 16);
}

/* Sends what was begun and waits for the answer. Its parameters stay valid until drop_message. */
static const char *finish(holdfast *daemon, struct text *text, int descriptor, const char *end, ssize_t *length) {
  add(text, end, strlen(end) + 1);
  int result = text->failed ? fail(daemon, "system", "no memory") : send_message(daemon, text, descriptor);
  free(text->bytes);
  if (result < 0) return NULL;
  if (!length) return "";
  *length = receive_message(daemon);
  if (*length < 0) return NULL;
  const char *found = parameters(daemon);
  if (!found) drop_message(daemon, *length);
  return found;
}

static int simple(holdfast *daemon, struct text *text) {
  ssize_t length;
  if (!finish(daemon, text, -1, "}}", &length)) return -1;
  drop_message(daemon, length);
  return 0;
}

int holdfast_register(
  holdfast *daemon, int fd, const char *service, const char *key, enum holdfast_retention retention,
  holdfast_registration *result) {
  struct text text;
  begin(&text, "Register");
  add_offset(&text, "fd", 0);
  add_field(&text, "service", service);
  add_field(&text, "key", key);
  add_field(&text, "retention", retention == HOLDFAST_CONFIRM ? "confirm" : "read");
  ssize_t length;
  const char *found = finish(daemon, &text, fd, "}}", &length);
  if (!found) return -1;
  copy_string(result->id, sizeof result->id, field(found, "id"));
  copy_string(result->reason, sizeof result->reason, field(found, "reason"));
  const char *value = field(found, "protected");
  result->is_protected = value && *value == 't';
  drop_message(daemon, length);
  return 0;
}

int holdfast_confirm(holdfast *daemon, const char *id, int64_t consumed) {
  struct text text;
  begin(&text, "Confirm");
  add_field(&text, "id", id);
  add_offset(&text, "consumed", consumed);
  return simple(daemon, &text);
}

int holdfast_checkpoint(
  holdfast *daemon, const char *id, const void *state, size_t size, int64_t consumed, int64_t produced) {
  struct text text;
  begin(&text, "Checkpoint");
  add_field(&text, "id", id);
  add_key(&text, "state");
  add_base64(&text, state, size);
  if (consumed != -1) add_offset(&text, "consumed", consumed);
  if (produced != -1) add_offset(&text, "produced", produced);
  return simple(daemon, &text);
}

int holdfast_release(holdfast *daemon, const char *id, enum holdfast_release how) {
  static const char *const names[] = {"keep", "close", "reset"};
  struct text text;
  begin(&text, "Release");
  add_field(&text, "id", id);
  add_field(&text, "how", names[how]);
  return simple(daemon, &text);
}

int holdfast_adopt(holdfast *daemon, const char *service) {
  struct text text;
  begin(&text, "Adopt");
  add_field(&text, "service", service);
  return finish(daemon, &text, -1, "},\"more\":true}", NULL) ? 0 : -1;
}

int holdfast_adopt_next(holdfast *daemon, holdfast_stream *stream) {
  ssize_t length = receive_message(daemon);
  if (length < 0) return -1;
  const char *found = parameters(daemon);
  if (!found) {
    drop_message(daemon, length);
    return -1;
  }
  const char *connection = field(found, "connection");
  int64_t index = number(field(found, "fd"), -1);
  if (!connection || index < 0 || index >= daemon->descriptor_count) {
    drop_message(daemon, length);
    close_descriptors(daemon);
    return fail(daemon, "system", "an adopted connection came without its socket");
  }
  memset(stream, 0, sizeof *stream);
  stream->fd = daemon->descriptors[index];
  daemon->descriptors[index] = -1;
  close_descriptors(daemon);
  copy_string(stream->id, sizeof stream->id, field(connection, "id"));
  stream->key = string(field(connection, "key"));
  stream->consumed = number(field(connection, "consumed"), 0);
  int64_t sent = number(field(connection, "sent"), 0);
  stream->produced = number(field(found, "produced"), sent);
  stream->skip = sent - stream->produced;
  stream->state = from_base64(field(found, "state"), &stream->state_size);
  drop_message(daemon, length);
  return 0;
}

/* MARK: Streams */

int holdfast_protect(
  holdfast *daemon, int fd, const char *service, const char *key, enum holdfast_retention retention,
  holdfast_stream *stream) {
  holdfast_registration registration;
  if (holdfast_register(daemon, fd, service, key, retention, &registration) < 0) return -1;
  memset(stream, 0, sizeof *stream);
  stream->fd = fd;
  memcpy(stream->id, registration.id, sizeof stream->id);
  stream->key = key ? strdup(key) : NULL;
  return 0;
}

ssize_t holdfast_read(holdfast_stream *stream, void *buffer, size_t size) {
  ssize_t count = read(stream->fd, buffer, size);
  if (count > 0) stream->consumed += count;
  return count;
}

ssize_t holdfast_write(holdfast_stream *stream, const void *data, size_t size) {
  size_t skipped = stream->skip < (int64_t)size ? (size_t)stream->skip : size;
  ssize_t count = 0;
  if (size > skipped) {
    count = send(stream->fd, (const char *)data + skipped, size - skipped, MSG_NOSIGNAL);
    if (count < 0) {
      if (skipped == 0) return -1;
      count = 0;
    }
  }
  stream->skip -= (int64_t)skipped;
  stream->produced += (int64_t)skipped + count;
  return (ssize_t)skipped + count;
}

int holdfast_rewind(holdfast_stream *stream, int64_t produced) {
  if (produced < 0 || produced > stream->produced + stream->skip) {
    errno = EINVAL;
    return -1;
  }
  stream->skip += stream->produced - produced;
  stream->produced = produced;
  return 0;
}

int holdfast_stream_confirm(holdfast *daemon, const holdfast_stream *stream) {
  return holdfast_confirm(daemon, stream->id, stream->consumed);
}

int holdfast_stream_checkpoint(holdfast *daemon, const holdfast_stream *stream, const void *state, size_t size) {
  return holdfast_checkpoint(daemon, stream->id, state, size, stream->consumed, stream->produced);
}

int holdfast_stream_end(holdfast *daemon, holdfast_stream *stream, enum holdfast_release how) {
  int result = holdfast_release(daemon, stream->id, how);
  if (result < 0 && strcmp(daemon->name, "io.holdfast.NoSuchConnection") == 0) result = 0;
  holdfast_stream_free(stream);
  return result;
}

void holdfast_stream_free(holdfast_stream *stream) {
  if (stream->fd >= 0) close(stream->fd);
  stream->fd = -1;
  free(stream->key);
  free(stream->state);
  stream->key = NULL;
  stream->state = NULL;
}
