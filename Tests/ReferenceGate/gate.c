/* The yardstick of the benchmark: the least that a program can do which holds each packet until another host has it.
 *
 * One thread, no ledger, no parsing, no checks, and no way to go on after a crash. What arrives (the first queue) is copied into a
 * TCP stream and accepted at once; what leaves (the second) is copied too and waits until the replica has acknowledged the stream
 * up to its end. The replica cuts the stream into packets and throws them away.
 *
 *   reference-gate hold ADDRESS PORT INGRESS EGRESS
 *   reference-gate replica ADDRESS PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  BATCH = 64,              /* packets per recvmmsg(2) */
  MESSAGE = 65536 + 4096,  /* one packet with its attributes */
  STREAM = 64 << 20,       /* bytes that may wait for the replica */
  HELD = 1 << 16,          /* packets that may wait to leave: as many as a queue holds */
  SOCKET_BUFFER = 16 << 20,
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

/* Before the stream is set up: the window that it begins with, and its clamp, follow from the buffer. */
static void tune(int stream) {
  int on = 1, size = SOCKET_BUFFER;
  if (setsockopt(stream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
      setsockopt(stream, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0 ||
      setsockopt(stream, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
    fail("setsockopt");
}

static struct sockaddr_in endpoint(const char *address, const char *port) {
  struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  if (inet_pton(AF_INET, address, &result.sin_addr) != 1) {
    fprintf(stderr, "%s is not an IPv4 address\n", address);
    exit(2);
  }
  return result;
}

/* --- The replica ---------------------------------------------------------------------------------------------------------- */

static int replica(const char *address, const char *port) {
  struct sockaddr_in local = endpoint(address, port);
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
    fail("socket");
  tune(listener);
  if ( bind(listener, (struct sockaddr *)&local, sizeof local) != 0 || listen(listener, 1) != 0)
    fail("listen");
  puts("listening");
  fflush(stdout);
  int stream = accept(listener, NULL, NULL);
  if (stream < 0)
    fail("accept");

  static unsigned char buffer[4 << 20];
  size_t filled = 0;
  uint64_t position = 0;
  for (;;) {
    ssize_t count = recv(stream, buffer + filled, sizeof buffer - filled, 0);
    if (count <= 0)
      return 0;
    filled += (size_t)count;
    size_t whole = 0;
    uint32_t length;
    while (filled - whole >= sizeof length) {
      memcpy(&length, buffer + whole, sizeof length);
      if (filled - whole < sizeof length + length)
        break;
      whole += sizeof length + length;
    }
    if (whole == 0)
      continue;
    memmove(buffer, buffer + whole, filled - whole);
    filled -= whole;
    position += whole;
    if (send(stream, &position, sizeof position, MSG_NOSIGNAL) < 0)
      return 0;
  }
}

/* --- The kernel's queues (linux/netfilter/nfnetlink_queue.h) --------------------------------------------------------------- */

static int queues;

struct request {
  struct nlmsghdr header;
  struct nfgenmsg generic;
  unsigned char attributes[64];
};

static struct request begin(uint16_t type, uint16_t queue) {
  return (struct request){
      .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct nfgenmsg)),
                 .nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | type,
                 .nlmsg_flags = NLM_F_REQUEST},
      .generic = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(queue)}};
}

static void put(struct request *request, uint16_t type, const void *value, uint16_t length) {
  struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + length), .nla_type = type};
  unsigned char *at = (unsigned char *)request + request->header.nlmsg_len;
  memcpy(at, &attribute, sizeof attribute);
  memcpy(at + NLA_HDRLEN, value, length);
  request->header.nlmsg_len += NLA_ALIGN(attribute.nla_len);
}

static void submit(struct request *request) {
  if (send(queues, request, request->header.nlmsg_len, 0) < 0)
    fail("netlink");
}

static void own(uint16_t queue) {
  struct request bind = begin(NFQNL_MSG_CONFIG, queue);
  put(&bind, NFQA_CFG_CMD, &(struct nfqnl_msg_config_cmd){.command = NFQNL_CFG_CMD_BIND}, sizeof(struct nfqnl_msg_config_cmd));
  submit(&bind);
  struct request whole = begin(NFQNL_MSG_CONFIG, queue);
  put(&whole, NFQA_CFG_PARAMS,
      &(struct nfqnl_msg_config_params){.copy_range = htonl(0xffff), .copy_mode = NFQNL_COPY_PACKET},
      sizeof(struct nfqnl_msg_config_params));
  put(&whole, NFQA_CFG_QUEUE_MAXLEN, &(uint32_t){htonl(HELD)}, 4);
  put(&whole, NFQA_CFG_FLAGS, &(uint32_t){htonl(NFQA_CFG_F_GSO)}, 4);
  put(&whole, NFQA_CFG_MASK, &(uint32_t){htonl(NFQA_CFG_F_GSO)}, 4);
  submit(&whole);
}

/* Lets every packet of the queue up to and including this one go. */
static void accept_all(uint16_t queue, uint32_t packet) {
  struct request verdict = begin(NFQNL_MSG_VERDICT_BATCH, queue);
  put(&verdict, NFQA_VERDICT_HDR, &(struct nfqnl_msg_verdict_hdr){.verdict = htonl(NF_ACCEPT), .id = htonl(packet)},
      sizeof(struct nfqnl_msg_verdict_hdr));
  submit(&verdict);
}

/* --- The gate -------------------------------------------------------------------------------------------------------------- */

static unsigned char *pending; /* what the replica is still to be sent: [pending_start, pending_end) */
static size_t pending_start, pending_end;
static uint64_t written, acknowledged; /* positions of the stream */
static struct {
  uint32_t packet;
  uint64_t position;
} held[HELD];
static uint32_t held_first, held_next;

static void copy(const void *packet, uint32_t length) {
  if (pending_end + sizeof length + length > STREAM) {
    memmove(pending, pending + pending_start, pending_end - pending_start);
    pending_end -= pending_start;
    pending_start = 0;
    if (pending_end + sizeof length + length > STREAM) {
      fputs("the replica is too slow\n", stderr);
      exit(1);
    }
  }
  memcpy(pending + pending_end, &length, sizeof length);
  memcpy(pending + pending_end + sizeof length, packet, length);
  pending_end += sizeof length + length;
  written += sizeof length + length;
}

static int hold(char **arguments) {
  struct sockaddr_in peer = endpoint(arguments[0], arguments[1]);
  uint16_t ingress = (uint16_t)atoi(arguments[2]), egress = (uint16_t)atoi(arguments[3]);
  int stream = socket(AF_INET, SOCK_STREAM, 0);
  if (stream < 0)
    fail("socket");
  tune(stream);
  if (connect(stream, (struct sockaddr *)&peer, sizeof peer) != 0)
    fail("connect");

  queues = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
  int size = 4 * SOCKET_BUFFER, on = 1;
  struct sockaddr_nl any = {.nl_family = AF_NETLINK};
  if (queues < 0 || bind(queues, (struct sockaddr *)&any, sizeof any) != 0 ||
      setsockopt(queues, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0 ||
      setsockopt(queues, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on) != 0)
    fail("netlink");
  own(ingress);
  own(egress);

  pending = malloc(STREAM);
  static unsigned char messages[BATCH][MESSAGE];
  struct mmsghdr headers[BATCH] = {0};
  struct iovec vectors[BATCH];
  for (int i = 0; i < BATCH; i++) {
    vectors[i] = (struct iovec){messages[i], MESSAGE};
    headers[i].msg_hdr.msg_iov = &vectors[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  puts("holding");
  fflush(stdout);

  struct pollfd watched[2] = {{.fd = queues, .events = POLLIN}, {.fd = stream}};
  for (;;) {
    watched[1].events = POLLIN | (pending_end > pending_start ? POLLOUT : 0);
    if (poll(watched, 2, -1) < 0)
      fail("poll");

    if (watched[0].revents) {
      int count = recvmmsg(queues, headers, BATCH, MSG_DONTWAIT, NULL), arrived = 0;
      uint32_t last = 0;
      for (int i = 0; i < count; i++) {
        const struct nlmsghdr *header = (const void *)messages[i];
        if (header->nlmsg_type != ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET))
          continue;
        const unsigned char *at = messages[i] + NLMSG_LENGTH(sizeof(struct nfgenmsg));
        const unsigned char *end = messages[i] + header->nlmsg_len;
        const unsigned char *payload = NULL;
        uint32_t packet = 0, length = 0;
        while (at + NLA_HDRLEN <= end) {
          const struct nlattr *attribute = (const void *)at;
          switch (attribute->nla_type & NLA_TYPE_MASK) {
          case NFQA_PACKET_HDR: packet = ntohl(((const struct nfqnl_msg_packet_hdr *)(at + NLA_HDRLEN))->packet_id); break;
          case NFQA_PAYLOAD: payload = at + NLA_HDRLEN, length = attribute->nla_len - NLA_HDRLEN; break;
          }
          at += NLA_ALIGN(attribute->nla_len);
        }
        if (payload)
          copy(payload, length);
        if (ntohs(((const struct nfgenmsg *)NLMSG_DATA(header))->res_id) == ingress) {
          arrived = 1;
          last = packet;
        } else {
          held[held_next % HELD].packet = packet;
          held[held_next % HELD].position = written;
          held_next++;
        }
      }
      if (arrived)
        accept_all(ingress, last);
    }

    if (pending_end > pending_start) {
      ssize_t count = send(stream, pending + pending_start, pending_end - pending_start, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN)
        fail("send");
      if (count > 0)
        pending_start += (size_t)count;
      if (pending_start == pending_end)
        pending_start = pending_end = 0;
    }

    if (watched[1].revents & (POLLIN | POLLHUP | POLLERR)) {
      static unsigned char buffer[4096];
      static size_t filled;
      ssize_t count = recv(stream, buffer + filled, sizeof buffer - filled, MSG_DONTWAIT);
      if (count <= 0)
        return 0;
      filled += (size_t)count;
      size_t whole = filled / sizeof acknowledged * sizeof acknowledged;
      if (whole == 0)
        continue;
      /* They are cumulative: the last one says it all. */
      memcpy(&acknowledged, buffer + whole - sizeof acknowledged, sizeof acknowledged);
      memmove(buffer, buffer + whole, filled - whole);
      filled -= whole;
      uint32_t released = 0;
      int any_released = 0;
      while (held_first != held_next && held[held_first % HELD].position <= acknowledged) {
        released = held[held_first++ % HELD].packet;
        any_released = 1;
      }
      if (any_released)
        accept_all(egress, released);
    }
  }
}

int main(int count, char **arguments) {
  if (count == 6 && strcmp(arguments[1], "hold") == 0)
    return hold(arguments + 2);
  if (count == 4 && strcmp(arguments[1], "replica") == 0)
    return replica(arguments[2], arguments[3]);
  fputs("usage: reference-gate hold ADDRESS PORT INGRESS EGRESS\n       reference-gate replica ADDRESS PORT\n", stderr);
  return 2;
}
