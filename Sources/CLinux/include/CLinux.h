/* What Swift's importer cannot see of the kernel's and glibc's interfaces.
 *
 * Admission rule: a macro with a cast, a variadic call, a constant or struct that is newer than Debian 12's headers,
 * or a CMSG_*-style accessor. No logic: whatever decides anything is Swift. Prefix: hf_ (values HF_).
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* struct tcp_info as kernel 6.12 knows it: Debian 12's headers end earlier. The kernel writes as much as it has, the rest
 * stays zero; the returned length says how much that was. CLinux.c holds it against <linux/tcp.h>. */
struct hf_tcp_info {
  uint8_t state, ca_state, retransmits, probes, backoff, options;
  uint8_t wscales;      /* low nibble: the peer's (snd_wscale), high nibble: ours (rcv_wscale) */
  uint8_t delivery_rate_app_limited;
  uint32_t rto, ato, snd_mss, rcv_mss;                              /* us, us, bytes, bytes */
  uint32_t unacked, sacked, lost, retrans, fackets;                 /* segments */
  uint32_t last_data_sent, last_ack_sent, last_data_recv, last_ack_recv; /* ms ago */
  uint32_t pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
  uint32_t rcv_rtt, rcv_space, total_retrans;
  uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
  uint32_t segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
  uint64_t delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
  uint32_t delivered, delivered_ce;
  uint64_t bytes_sent, bytes_retrans;
  uint32_t dsack_dups, reord_seen, rcv_ooopack;
  uint32_t snd_wnd;     /* bytes, after scaling */
  uint32_t rcv_wnd;     /* since 6.2; bytes */
  uint32_t rehash;
};

/* struct tcp_repair_opt and struct tcp_repair_window (linux/tcp.h). */
struct hf_tcp_repair_opt {
  uint32_t code, value;
};
struct hf_tcp_repair_window {
  uint32_t snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup;
};

/* Variadic in C. */
int hf_ioctl_int(int fd, unsigned long request, int *value);
int hf_ioctl_pointer(int fd, unsigned long request, void *argument);
int hf_fcntl_int(int fd, int command, int value);
int hf_open(const char *path, int flags, mode_t mode);

/* Declared for _GNU_SOURCE alone, or not at all. */
int hf_pidfd_open(pid_t pid);
int hf_setns(int fd, int kind);
int hf_memory_file(const char *name); /* memfd_create, close-on-exec */
int hf_accept(int fd); /* accept4 with SOCK_CLOEXEC | SOCK_NONBLOCK, the address unasked */

/* recvmmsg(2) for netlink: up to `count` messages into `buffers` of `size` bytes each, never waiting. `lengths` receives each
 * message's length, or 0 for one that was truncated or not sent by the kernel. Returns the number of messages, or -1. */
int hf_receive_batch(int fd, void *const *buffers, size_t size, uint32_t *lengths, unsigned count);

enum {
  HF_TCP_REPAIR = 19,
  HF_TCP_REPAIR_QUEUE = 20,
  HF_TCP_QUEUE_SEQ = 21,
  HF_TCP_REPAIR_OPTIONS = 22,
  HF_TCP_TIMESTAMP = 24,
  HF_TCP_REPAIR_WINDOW = 29,
  HF_TCP_ULP = 31,
  HF_CLONE_NEWNET = 0x40000000,
  HF_RECEIVE_BATCH_MAX = 64,

  HF_SIOCINQ = SIOCINQ,
  HF_SIOCOUTQ = SIOCOUTQ,
  HF_SIOCOUTQNSD = SIOCOUTQNSD,
  HF_SIOCGIFHWADDR = SIOCGIFHWADDR,
  HF_SIOCGIFFLAGS = SIOCGIFFLAGS,

  HF_SO_BINDTOIFINDEX = 62,   /* since 5.0 */
  HF_SO_BUF_LOCK = 72,        /* since 5.14 */
  HF_IPPROTO_MPTCP = 262,
  HF_TCP_INQ = 36,            /* since 4.18 */
  HF_TCP_AO_INFO = 40,        /* since 6.7 */
  HF_TCP_RTO_MAX_MS = 44,     /* since 6.15 */
  HF_TCP_RTO_MIN_US = 45,     /* since 6.15 */
  HF_TCP_DELACK_MAX_US = 46,  /* since 6.15 */
  HF_TCP_REPAIR_ON = 1,
  HF_TCP_REPAIR_OFF = 0,
  HF_TCP_REPAIR_OFF_NO_WP = -1,
  HF_TCPI_OPT_USEC_TS = 0x40, /* since 6.7 */
  HF_IPV6_AUTOFLOWLABEL = 70,
  HF_IPV6_MINHOPCOUNT = 73,
  HF_IPV6_TRANSPARENT = 75,
  HF_IPV6_HDRINCL = 36, /* since 4.5 */
  HF_SCM_MAX_FD = 253,
  HF_SOCK_DESTROY = SOCK_DESTROY,
  HF_INET_DIAG_BC_S_COND = INET_DIAG_BC_S_COND,
};

/* The CMSG_* accessors do arithmetic on pointers in macros. */
static inline size_t hf_cmsg_space(size_t length) { return CMSG_SPACE(length); }
static inline size_t hf_cmsg_len(size_t length) { return CMSG_LEN(length); }
static inline struct cmsghdr *hf_cmsg_first(const struct msghdr *message) { return CMSG_FIRSTHDR(message); }
static inline struct cmsghdr *hf_cmsg_next(struct msghdr *message, struct cmsghdr *control) { return CMSG_NXTHDR(message, control); }
static inline unsigned char *hf_cmsg_data(struct cmsghdr *control) { return CMSG_DATA(control); }

/* wait(2)'s status macros. */
static inline int hf_exit_status(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }
