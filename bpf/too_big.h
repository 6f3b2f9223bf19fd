/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors that tell a packet's sender the MTU (RFC 792, 1191; RFC 4443 section 3.2): new headers before the packet, which
 * is cut to what an error may quote. A transparent box has no address on the path: like the kernel's bridge
 * (nft_reject_bridge.c), it answers in the name of the packet's destination.
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
	__u8 quoted[QUOTE_V6];
	__u64 second;
	__u32 sent;
	__u32 quote;	/* bytes of the packet */
	__u16 promised; /* what an unfinished checksum makes of the packet's sum behind its IP header */
	bool unfinished;
};

_Static_assert(sizeof(struct too_big) <= SCRATCH_LENGTH, "an error fits the scratch map");

struct headers_v4 {
	struct iphdr ip;
	struct icmphdr icmp;
};

struct headers_v6 {
	struct ipv6hdr ip;
	struct icmphdr icmp;
};

static __always_inline bool may_answer(struct too_big *error, __u64 now_ns)
{
	__u64 second = now_ns / 1000000000;

	if (error->second != second) {
		error->second = second;
		error->sent = 0;
	}
	return error->sent++ < ERRORS_PER_SECOND;
}

/* The sum of a quote of a constant length. */
static __always_inline __u32 sum_of_quote(const struct too_big *error, __u32 length)
{
	const void *at = error->quoted;
	__u32 sum = 0;

	for (__u32 done = 0; done < length; done += SUM_MAX)
		sum = fold(sum_of(at + done, length - done < SUM_MAX ? length - done : SUM_MAX, sum));
	return sum;
}

/*
 * Whether the checksum of the packet is unfinished. Who finishes it does so in the quote: it replaces what is there, `seed`,
 * by the complement of the sum from the L4 header on, which makes that sum the complement of the seed.
 */
static __always_inline void look_at_checksum(struct __sk_buff *skb, struct too_big *error, const struct packet *p,
					     __u32 offset)
{
	__u32 check = offset + l3_length(p);
	__be16 seed = 0;

	error->unfinished = 0;
	if (p->fragment == FRAGMENT_LATER)
		return;
	if (p->ip_proto == IPPROTO_TCP)
		check += __builtin_offsetof(struct tcphdr, check);
	else if (p->ip_proto == IPPROTO_UDP)
		check += __builtin_offsetof(struct udphdr, check);
	else
		return;
	error->unfinished = unfinished(skb, check);
	bpf_skb_load_bytes(skb, check, &seed, sizeof(seed));
	error->promised = ~seed;
}

/* Cut the packet to the quote and make room for headers before it: 0, or an error. */
static __always_inline long make_room_for(struct __sk_buff *skb, __u32 quote, __u32 headers)
{
	return bpf_skb_change_tail(skb, ETH_HLEN + quote, 0) || bpf_skb_adjust_room(skb, headers, BPF_ADJ_ROOM_MAC, 0);
}

/* Write the error before the packet. 0, or an error. An IPv4 header that is whole adds nothing to a sum. */
static __noinline long write_too_big_v4(struct __sk_buff *skb, const struct packet *p, struct too_big *error)
{
	const __u8 *from = destination_of(p), *to = source_of(p);
	struct headers_v4 headers = {};
	__u32 sum;

	if (p->length >= QUOTE_V4) {
		error->quote = QUOTE_V4;
		if (bpf_skb_load_bytes(skb, ETH_HLEN, error->quoted, QUOTE_V4))
			return 1;
		sum = sum_of_quote(error, QUOTE_V4);
	} else {
		error->quote = QUOTE_V4_LEAST;
		if (bpf_skb_load_bytes(skb, ETH_HLEN, error->quoted, QUOTE_V4_LEAST))
			return 1;
		sum = sum_of_quote(error, QUOTE_V4_LEAST);
	}
	if (error->unfinished)
		sum = error->promised;
	make_ip4(&headers.ip, *(const __be32 *)(from + 12), *(const __be32 *)(to + 12), IPPROTO_ICMP,
		 sizeof(headers.icmp) + error->quote);
	headers.icmp.type = ICMP_DEST_UNREACH;
	headers.icmp.code = ICMP_FRAG_NEEDED;
	headers.icmp.un.rest = htonl(p->mtu);
	headers.icmp.checksum = ~fold(fold(sum_of(&headers.icmp, sizeof(headers.icmp), 0)) + fold(sum));
	return make_room_for(skb, error->quote, sizeof(headers)) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN, &headers, sizeof(headers), BPF_F_RECOMPUTE_CSUM);
}

static __noinline long write_too_big_v6(struct __sk_buff *skb, const struct packet *p, struct too_big *error)
{
	const __u8 *from = destination_of(p), *to = source_of(p);
	struct headers_v6 headers = {};
	__u32 length, sum;

	error->quote = p->length < QUOTE_V6 ? p->length : QUOTE_V6;
	length = sizeof(headers.icmp) + error->quote;
	/* A shorter one is filled up, with zeroes that add nothing to the sum. */
	if ((p->length < QUOTE_V6 && bpf_skb_change_tail(skb, ETH_HLEN + QUOTE_V6, 0)) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, error->quoted, QUOTE_V6))
		return 1;
	sum = error->unfinished ? fold(sum_of(error->quoted, sizeof(headers.ip), 0)) + error->promised
				: sum_of_quote(error, QUOTE_V6);
	make_ip6(&headers.ip, (const void *)from, (const void *)to, IPPROTO_ICMPV6, length);
	headers.icmp.type = ICMPV6_PACKET_TOO_BIG;
	headers.icmp.un.rest = htonl(p->mtu);
	sum = fold(sum) + fold(sum_of(&headers.ip.saddr, 2 * sizeof(headers.ip.saddr), 0)) + htons(IPPROTO_ICMPV6) +
	      htons(length);
	headers.icmp.checksum = ~fold(fold(sum_of(&headers.icmp, sizeof(headers.icmp), 0)) + fold(sum));
	return make_room_for(skb, error->quote, sizeof(headers)) ||
	       bpf_skb_store_bytes(skb, ETH_HLEN, &headers, sizeof(headers), BPF_F_RECOMPUTE_CSUM);
}

/* Whether the kernel does not let a packet be answered: room is made behind plain Ethernet only. */
static __always_inline bool cannot_be_answered(const struct too_big *error, const struct packet *p, __u32 offset)
{
	return offset != ETH_HLEN || (error->unfinished && p->family == 6 && l3_length(p) != sizeof(struct ipv6hdr));
}

/* Turn the packet into the error that answers it: the reason that is counted. */
static __noinline __u32 answer_too_big(struct __sk_buff *skb, const struct frame *f, const struct packet *p)
{
	struct too_big *error = scratch_at(SCRATCH_ERROR);
	__u32 offset = ip_offset(f);
	long failed;

	if (!error)
		return KERNEL_TOO_BIG;
	look_at_checksum(skb, error, p, offset);
	if (cannot_be_answered(error, p, offset) || !may_answer(error, p->now_ns))
		return KERNEL_TOO_BIG;
	failed = p->family == 4 ? write_too_big_v4(skb, p, error) : write_too_big_v6(skb, p, error);
	return failed || turn_macs(skb) ? DROP_TOO_BIG : FORWARDED_TOO_BIG;
}
