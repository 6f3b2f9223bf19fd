/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors that tell a packet's sender the MTU (RFC 792, 1191; RFC 4443 section 3.2). A transparent box has no address on
 * the path: like the kernel's bridge (nft_reject_bridge.c), it answers in the name of the packet's destination.
 */
#pragma once

#include "reset.h"

/* Errors a CPU sends in a second; beyond it the kernel gets the packet. Linux: net.ipv4.icmp_msgs_per_sec, 1000. */
#define ERRORS_PER_SECOND 1000

/* Of the packet, from its IP header on, so that the answer has at most 576 or 1280 bytes (RFC 1812, 4443). */
#define QUOTE_V4 548
#define QUOTE_V4_LEAST 68
#define QUOTE_V6 1232
#define SUM_MAX 512 /* of bpf_csum_diff before Linux 6.12 */

struct too_big {
	struct icmphdr icmp;
	__u8 quoted[QUOTE_V6];
	__u64 second;
	__u32 sent;
};

_Static_assert(sizeof(struct too_big) <= SCRATCH_LENGTH, "an error fits the scratch map");

static __always_inline bool may_answer(struct too_big *error, __u64 now_ns)
{
	__u64 second = now_ns / 1000000000;

	if (error->second != second) {
		error->second = second;
		error->sent = 0;
	}
	return error->sent++ < ERRORS_PER_SECOND;
}

/* The sum of an error with a quote of a constant length. */
static __always_inline __u32 sum_of_error(const struct too_big *error, __u32 length)
{
	const void *at = error;
	__u32 sum = 0;

	for (__u32 done = 0; done < length; done += SUM_MAX)
		sum = fold(sum_of(at + done, length - done < SUM_MAX ? length - done : SUM_MAX, sum));
	return sum;
}

/* Write the error over the packet; its first bytes are quoted already. 0, or an error. */
static __noinline long write_too_big_v4(struct __sk_buff *skb, const struct packet *p, struct too_big *error,
					__u32 offset)
{
	const __u8 *from = destination_of(p), *to = source_of(p);
	bool more = p->length >= QUOTE_V4;
	__u32 length = sizeof(error->icmp) + (more ? QUOTE_V4 : QUOTE_V4_LEAST), sum;
	struct iphdr ip;

	if (more && bpf_skb_load_bytes(skb, offset, error->quoted, QUOTE_V4))
		return 1;
	error->icmp.type = ICMP_DEST_UNREACH;
	error->icmp.code = ICMP_FRAG_NEEDED;
	error->icmp.checksum = 0;
	error->icmp.un.rest = htonl(p->mtu);
	sum = more ? sum_of_error(error, sizeof(error->icmp) + QUOTE_V4)
		   : sum_of_error(error, sizeof(error->icmp) + QUOTE_V4_LEAST);
	error->icmp.checksum = ~fold(sum);
	make_ip4(&ip, *(const __be32 *)(from + 12), *(const __be32 *)(to + 12), IPPROTO_ICMP, length);
	if (bpf_skb_change_tail(skb, offset + sizeof(ip) + length, 0) ||
	    bpf_skb_store_bytes(skb, offset, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM))
		return 1;
	offset += sizeof(ip);
	if (more)
		return bpf_skb_store_bytes(skb, offset, error, sizeof(error->icmp) + QUOTE_V4, BPF_F_RECOMPUTE_CSUM);
	return bpf_skb_store_bytes(skb, offset, error, sizeof(error->icmp) + QUOTE_V4_LEAST, BPF_F_RECOMPUTE_CSUM);
}

static __noinline long write_too_big_v6(struct __sk_buff *skb, const struct packet *p, struct too_big *error,
					__u32 offset)
{
	const __u8 *from = destination_of(p), *to = source_of(p);
	__u32 length = sizeof(error->icmp) + QUOTE_V6, pseudo, sum;
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, offset, error->quoted, QUOTE_V6))
		return 1;
	error->icmp.type = ICMPV6_PACKET_TOO_BIG;
	error->icmp.code = 0;
	error->icmp.checksum = 0;
	error->icmp.un.rest = htonl(p->mtu);
	make_ip6(&ip, (const void *)from, (const void *)to, IPPROTO_ICMPV6, length);
	pseudo = fold(sum_of(&ip.saddr, 2 * sizeof(ip.saddr), 0)) + htons(IPPROTO_ICMPV6) + htons(length);
	sum = sum_of_error(error, sizeof(error->icmp) + QUOTE_V6);
	error->icmp.checksum = ~fold(fold(pseudo) + sum);
	if (bpf_skb_change_tail(skb, offset + sizeof(ip) + length, 0) ||
	    bpf_skb_store_bytes(skb, offset, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM))
		return 1;
	offset += sizeof(ip);
	return bpf_skb_store_bytes(skb, offset, error, sizeof(error->icmp) + QUOTE_V6, BPF_F_RECOMPUTE_CSUM);
}

/* Whether the packet's checksum is unfinished, which an ICMP error's could not be: it is in another place. */
static __always_inline bool cannot_be_answered(struct __sk_buff *skb, const struct packet *p, __u32 offset)
{
	__u32 l4 = offset + p->length - (p->segments - 1) * p->headers - p->l4_length;

	if (p->ip_proto == IPPROTO_TCP)
		return unfinished(skb, l4 + __builtin_offsetof(struct tcphdr, check));
	return p->ip_proto == IPPROTO_UDP && unfinished(skb, l4 + __builtin_offsetof(struct udphdr, check));
}

/* Turn the packet into the error that answers it: the reason that is counted. */
static __noinline __u32 answer_too_big(struct __sk_buff *skb, const struct frame *f, const struct packet *p)
{
	struct too_big *error = scratch_at(SCRATCH_ERROR);
	__u32 offset = ip_offset(f);
	long failed;

	if (!error || cannot_be_answered(skb, p, offset) || !may_answer(error, p->now_ns) ||
	    bpf_skb_load_bytes(skb, offset, error->quoted, QUOTE_V4_LEAST))
		return KERNEL_TOO_BIG;
	failed = p->family == 4 ? write_too_big_v4(skb, p, error, offset) : write_too_big_v6(skb, p, error, offset);
	return failed || turn_macs(skb) ? DROP_TOO_BIG : FORWARDED_TOO_BIG;
}
