/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers that are made of the packet they answer: the frame goes back where it came from, tags and all, with other bytes
 * from the IP header on. tc only.
 */
#pragma once

#include "scratch.h"

#define ANSWER_TTL 64

/* Where the IP header begins, in a frame that was not changed yet. */
static __always_inline __u32 ip_offset(const struct frame *f)
{
	return ETH_HLEN + (f->tags - f->stripped) * 4;
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u32 sum_of(const void *from, __u32 length, __u32 seed)
{
	return bpf_csum_diff(0, 0, from, length, seed);
}

/* Swap the MAC addresses of a frame: 0, or an error. */
static __always_inline long turn_macs(struct __sk_buff *skb)
{
	__u8 macs[2 * ETH_ALEN], turned[2 * ETH_ALEN];

	if (bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
		return 1;
	__builtin_memcpy(turned, macs + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(turned + ETH_ALEN, macs, ETH_ALEN);
	return bpf_skb_store_bytes(skb, 0, turned, sizeof(turned), 0);
}

/* The IPv4 header of an answer from one address to another. */
static __always_inline void make_ip4(struct iphdr *ip, __be32 from, __be32 to, __u8 ip_proto, __u32 payload)
{
	*(__u8 *)ip = 4 << 4 | sizeof(*ip) / 4;
	ip->tos = 0;
	ip->tot_len = htons(sizeof(*ip) + payload);
	ip->id = 0;
	ip->frag_off = htons(IP_DONT_FRAGMENT);
	ip->ttl = ANSWER_TTL;
	ip->protocol = ip_proto;
	ip->check = 0;
	ip->saddr = from;
	ip->daddr = to;
	ip->check = ~fold(sum_of(ip, sizeof(*ip), 0));
}

static __always_inline void make_ip6(struct ipv6hdr *ip, const struct in6_addr *from, const struct in6_addr *to,
				     __u8 ip_proto, __u32 payload)
{
	*(__be32 *)ip = htonl(6U << 28);
	ip->payload_len = htons(payload);
	ip->nexthdr = ip_proto;
	ip->hop_limit = ANSWER_TTL;
	ip->saddr = *from;
	ip->daddr = *to;
}

/*
 * Whether the checksum of a packet from this machine, or from a virtual one beside it, is still to be finished
 * (CHECKSUM_PARTIAL): by whom it leaves through, at the place where it was in the packet as it came. Nothing says so, but a
 * change outside the pseudo-header is left out of such a checksum.
 */
static __always_inline bool unfinished(struct __sk_buff *skb, __u32 check_offset)
{
	__be16 before = 0, after = 0;

	if (bpf_skb_load_bytes(skb, check_offset, &before, sizeof(before)) ||
	    bpf_l4_csum_replace(skb, check_offset, 0, htons(1), sizeof(before)) ||
	    bpf_skb_load_bytes(skb, check_offset, &after, sizeof(after)))
		return 0;
	if (before == after)
		return 1;
	/* Subtracting it again would make 0 of 0xffff. */
	bpf_skb_store_bytes(skb, check_offset, &before, sizeof(before), 0);
	return 0;
}
