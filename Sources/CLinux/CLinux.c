#define _GNU_SOURCE
#include "CLinux.h"

#include <linux/tcp.h>

_Static_assert(offsetof(struct hf_tcp_info, rto) == offsetof(struct tcp_info, tcpi_rto), "tcp_info");
_Static_assert(offsetof(struct hf_tcp_info, pacing_rate) == offsetof(struct tcp_info, tcpi_pacing_rate), "tcp_info");
_Static_assert(offsetof(struct hf_tcp_info, bytes_sent) == offsetof(struct tcp_info, tcpi_bytes_sent), "tcp_info");
_Static_assert(offsetof(struct hf_tcp_info, snd_wnd) == offsetof(struct tcp_info, tcpi_snd_wnd), "tcp_info");
_Static_assert(sizeof(struct hf_tcp_repair_opt) == sizeof(struct tcp_repair_opt), "tcp_repair_opt");
_Static_assert(sizeof(struct hf_tcp_repair_window) == sizeof(struct tcp_repair_window), "tcp_repair_window");
_Static_assert(HF_TCP_REPAIR == TCP_REPAIR && HF_TCP_REPAIR_QUEUE == TCP_REPAIR_QUEUE, "repair options");
_Static_assert(HF_TCP_QUEUE_SEQ == TCP_QUEUE_SEQ && HF_TCP_REPAIR_OPTIONS == TCP_REPAIR_OPTIONS, "repair options");
_Static_assert(HF_TCP_TIMESTAMP == TCP_TIMESTAMP && HF_TCP_REPAIR_WINDOW == TCP_REPAIR_WINDOW, "repair options");
_Static_assert(HF_TCP_INQ == TCP_INQ, "options");
_Static_assert(HF_TCP_ULP == TCP_ULP && HF_CLONE_NEWNET == CLONE_NEWNET, "constants");

int hf_ioctl_int(int fd, unsigned long request, int *value) { return ioctl(fd, request, value); }
int hf_ioctl_pointer(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }
int hf_fcntl_int(int fd, int command, int value) { return fcntl(fd, command, value); }
int hf_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }

int hf_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
int hf_setns(int fd, int kind) { return setns(fd, kind); }
int hf_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int hf_receive_batch(int fd, void *const *buffers, size_t size, uint32_t *lengths, unsigned count) {
  struct mmsghdr messages[HF_RECEIVE_BATCH_MAX];
  struct iovec vectors[HF_RECEIVE_BATCH_MAX];
  struct sockaddr_nl senders[HF_RECEIVE_BATCH_MAX];
  if (count > HF_RECEIVE_BATCH_MAX)
    count = HF_RECEIVE_BATCH_MAX;
  for (unsigned i = 0; i < count; i++) {
    vectors[i] = (struct iovec){.iov_base = buffers[i], .iov_len = size};
    messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &senders[i],
                                               .msg_namelen = sizeof senders[i],
                                               .msg_iov = &vectors[i],
                                               .msg_iovlen = 1}};
  }
  int received = recvmmsg(fd, messages, count, MSG_DONTWAIT, NULL);
  for (int i = 0; i < received; i++)
    lengths[i] = senders[i].nl_pid != 0 || messages[i].msg_hdr.msg_flags & MSG_TRUNC ? 0 : messages[i].msg_len;
  return received;
}

int hf_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }
