/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel gives a BPF program: UAPI types, helpers by their stable numbers, the
 * conventions libbpf reads maps and sections by. No lasthop in here.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>

#define NULL ((void *)0)
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))

#define bool _Bool

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

/* Hide a value's range from the compiler, so that it keeps the check the verifier asks for. */
#define OPAQUE(x) asm volatile("" : "+r"(x))

#define EEXIST 17

#define TC_ACT_UNSPEC (-1)
#define TC_ACT_SHOT 2

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define htons(x) ((__be16)__builtin_bswap16(x))
#define ntohs(x) __builtin_bswap16(x)
#define htonl(x) ((__be32)__builtin_bswap32(x))
#define ntohl(x) __builtin_bswap32(x)
#else
#define htons(x) (x)
#define ntohs(x) (x)
#define htonl(x) (x)
#define ntohl(x) (x)
#endif

/* linux/tcp.h has these as bit fields; this is RFC 9293 section 3.1. */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* linux/icmp.h drags in a C library's headers; this is RFC 792. */
struct icmphdr {
	__u8 type;
	__u8 code;
	__be16 checksum;
	union {
		struct {
			__be16 id;
			__be16 sequence;
		} echo;
		__be32 rest;
	} un;
};

enum icmp_type {
	ICMP_ECHOREPLY = 0,
	ICMP_DEST_UNREACH = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_ECHO = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETERPROB = 12,
	ICMP_TIMESTAMP = 13, /* from here on: asked by odd numbers, answered by even ones */
	ICMP_ADDRESSREPLY = 18,
	ICMP_FRAG_NEEDED = 4, /* a code of ICMP_DEST_UNREACH */
	ICMPV6_PACKET_TOO_BIG = 2,
	ICMPV6_ECHO = 128,
	ICMPV6_ECHOREPLY = 129,
};

/* linux/sctp.h is about sockets; this is RFC 9260 sections 3.1 and 3.2. */
struct sctphdr {
	__be16 source;
	__be16 dest;
	__be32 verification_tag;
	__be32 checksum;
};

struct sctp_chunk {
	__u8 type;
	__u8 flags;
	__be16 length; /* with this header, without padding */
};

enum sctp_chunk_type {
	SCTP_DATA = 0,
	SCTP_INIT = 1,
	SCTP_INIT_ACK = 2,
	SCTP_ABORT = 6,
	SCTP_SHUTDOWN = 7,
	SCTP_SHUTDOWN_ACK = 8,
	SCTP_ERROR = 9,
	SCTP_COOKIE_ECHO = 10,
	SCTP_COOKIE_ACK = 11,
	SCTP_SHUTDOWN_COMPLETE = 14,
};

/* Extension headers of IPv6 that linux/in6.h does not name: IANA's registry. */
#define IPPROTO_HIP 139
#define IPPROTO_SHIM6 140

/* The size of a GSO frame's segments where it is a list of packets: linux/skbuff.h inside the kernel. */
#define GSO_BY_FRAGS 0xffff

/* IPv4 header fields that linux/ip.h does not name: RFC 791. */
#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define IP_DONT_FRAGMENT 0x4000

/*
 * Helpers on maps return int here, whatever the UAPI says: until Linux 6.4 the map's own function, which the verifier
 * calls directly, left the upper half of the register zero, so that as a long an error is a large positive number.
 */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static int (*const bpf_map_update_elem)(void *map, const void *key, const void *value,
					__u64 flags) = (void *)BPF_FUNC_map_update_elem;
static int (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_delete_elem;
static int (*const bpf_map_push_elem)(void *map, const void *value, __u64 flags) = (void *)BPF_FUNC_map_push_elem;
static int (*const bpf_map_pop_elem)(void *map, void *value) = (void *)BPF_FUNC_map_pop_elem;
static int (*const bpf_map_peek_elem)(void *map, void *value) = (void *)BPF_FUNC_map_peek_elem;
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *context,
					   __u64 flags) = (void *)BPF_FUNC_for_each_map_elem;
static long (*const bpf_loop)(__u32 rounds, void *callback, void *context, __u64 flags) = (void *)BPF_FUNC_loop;
static __u64 (*const bpf_ktime_get_coarse_ns)(void) = (void *)BPF_FUNC_ktime_get_coarse_ns;
static __u32 (*const bpf_get_prandom_u32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static long (*const bpf_fib_lookup)(void *ctx, struct bpf_fib_lookup *params, int length,
				    __u32 flags) = (void *)BPF_FUNC_fib_lookup;
static long (*const bpf_redirect)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const bpf_clone_redirect)(struct __sk_buff *skb, __u32 ifindex,
					__u64 flags) = (void *)BPF_FUNC_clone_redirect;
static long (*const bpf_skb_pull_data)(struct __sk_buff *skb, __u32 length) = (void *)BPF_FUNC_skb_pull_data;
static long (*const bpf_skb_load_bytes)(const struct __sk_buff *skb, __u32 offset, void *to,
					__u32 length) = (void *)BPF_FUNC_skb_load_bytes;
static long (*const bpf_skb_store_bytes)(struct __sk_buff *skb, __u32 offset, const void *from, __u32 length,
					 __u64 flags) = (void *)BPF_FUNC_skb_store_bytes;
static long (*const bpf_skb_change_tail)(struct __sk_buff *skb, __u32 length,
					 __u64 flags) = (void *)BPF_FUNC_skb_change_tail;
static long (*const bpf_skb_adjust_room)(struct __sk_buff *skb, int by, __u32 mode,
					 __u64 flags) = (void *)BPF_FUNC_skb_adjust_room;
static long (*const bpf_l4_csum_replace)(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to,
					 __u64 flags) = (void *)BPF_FUNC_l4_csum_replace;
static __s64 (*const bpf_csum_diff)(const void *from, __u32 from_size, const void *to, __u32 to_size,
				    __u32 seed) = (void *)BPF_FUNC_csum_diff;
static long (*const bpf_xdp_load_bytes)(struct xdp_md *context, __u32 offset, void *to,
					__u32 length) = (void *)BPF_FUNC_xdp_load_bytes;
static long (*const bpf_xdp_adjust_head)(struct xdp_md *context, int by) = (void *)BPF_FUNC_xdp_adjust_head;
static long (*const bpf_skb_vlan_push)(struct __sk_buff *skb, __be16 protocol,
				       __u16 tci) = (void *)BPF_FUNC_skb_vlan_push;
static long (*const bpf_skb_vlan_pop)(struct __sk_buff *skb) = (void *)BPF_FUNC_skb_vlan_pop;
static long (*const bpf_ringbuf_output)(void *ring, void *data, __u64 size,
					__u64 flags) = (void *)BPF_FUNC_ringbuf_output;
static void *(*const bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)BPF_FUNC_ringbuf_reserve;
static void (*const bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)BPF_FUNC_ringbuf_submit;
static void (*const bpf_ringbuf_discard)(void *data, __u64 flags) = (void *)BPF_FUNC_ringbuf_discard;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static __u64 (*const bpf_xdp_get_buff_len)(struct xdp_md *context) = (void *)BPF_FUNC_xdp_get_buff_len;
