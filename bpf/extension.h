/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPv6 extension headers, RFC 8200 section 4: a walk with an end. It reads copies of the headers, wherever in the buffer
 * they are, and is verified once for each kind of program: few packets have any.
 */
#pragma once

#include "packet.h"

#define MAX_EXTENSIONS 8
#define MAX_EXTENDED 512 /* from the IPv6 header on */
#define OFFSET_MASK 2047 /* of everything that is read behind an IP header */

/* Bytes behind an offset that are looked at: an ICMPv6 error with the IPv6 header it quotes, or TCP, or SCTP and two chunks. */
#define L4_MAX (8 + 40 + 24)

#define IP6_MORE_FRAGMENTS 0x0001
#define IP6_FRAGMENT_OFFSET 0xfff8

struct extension {
	__u8 next;
	__u8 length; /* in units of eight bytes, the first not counted */
	__be16 fragment;
	__be32 datagram;
};

struct walk {
	__u32 length; /* of the headers that were walked */
	__u32 datagram;
	__u8 ip_proto;
	__u8 fragment; /* enum fragment_kind */
};

/* Whether a header of this kind is followed by another. AH is not walked over: nothing behind it need be readable. */
static __always_inline bool extends(__u8 ip_proto)
{
	switch (ip_proto) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case IPPROTO_HIP:
	case IPPROTO_SHIM6:
		return 1;
	default:
		return 0;
	}
}

/* A walk in one number: what functions that are verified on their own can return. */
#define WALKED(length, ip_proto, fragment, datagram)                                                                   \
	((__u64)(datagram) << 32 | (__u64)(fragment) << 24 | (__u64)(ip_proto) << 16 | (length))
#define WALK_FAILED 0xffff

static __always_inline long load(void *context, __u32 offset, void *to, __u32 length, enum entry entry)
{
	return entry == ENTRY_TC ? bpf_skb_load_bytes(context, offset, to, length)
				 : bpf_xdp_load_bytes(context, offset, to, length);
}

/* `available` bytes from the start on are the packet's by its own account. */
static __always_inline __u64 walk_from(void *context, __u32 start, __u32 available, __u8 next, enum entry entry)
{
	__u32 length = 0, datagram = 0, size;
	struct extension header;
	__u8 fragment = FRAGMENT_NONE;

	for (int i = 0; i < MAX_EXTENSIONS && extends(next); i++) {
		if (length + sizeof(header) > available ||
		    load(context, start + length, &header, sizeof(header), entry))
			return WALK_FAILED;
		size = 8;
		if (next != IPPROTO_FRAGMENT) {
			size += header.length * 8;
		} else if (header.fragment & htons(IP6_FRAGMENT_OFFSET | IP6_MORE_FRAGMENTS)) {
			datagram = header.datagram;
			fragment = header.fragment & htons(IP6_FRAGMENT_OFFSET) ? FRAGMENT_LATER : FRAGMENT_FIRST;
		}
		if (sizeof(struct ipv6hdr) + length + size > MAX_EXTENDED)
			return WALKED(length, 0, fragment, datagram);
		length += size;
		next = header.next;
		if (fragment == FRAGMENT_LATER)
			return WALKED(length, next, fragment, datagram);
	}
	return WALKED(length, extends(next) ? 0 : next, fragment, datagram);
}

__noinline __u64 walk_skb(struct __sk_buff *skb, __u32 start, __u32 available, __u32 next)
{
	return walk_from(skb, start, available, next, ENTRY_TC);
}

__noinline __u64 walk_xdp(struct xdp_md *context, __u32 start, __u32 available, __u32 next)
{
	return walk_from(context, start, available, next, ENTRY_XDP);
}

/* Walk on from walk->ip_proto, which is `offset` bytes behind the IP header. False if a header is not whole. */
static __always_inline bool walk_extensions(struct walk *walk, const struct frame *f, __u32 offset, __u32 available,
					    void *context, enum entry entry)
{
	__u32 start = (__u32)(f->ip - (void *)f->eth) + offset;
	__u64 walked = entry == ENTRY_TC ? walk_skb(context, start, available, walk->ip_proto)
					 : walk_xdp(context, start, available, walk->ip_proto);

	walk->length = walked & 0xffff;
	walk->ip_proto = walked >> 16 & 0xff;
	walk->fragment = walked >> 24 & 3;
	walk->datagram = walked >> 32;
	return walk->length != WALK_FAILED;
}

/* Make what is behind an offset readable. Its own pull: the first one brings in what packets without extensions need. */
static __always_inline bool reach(struct frame *f, __u32 offset, void *context, enum entry entry)
{
	struct __sk_buff *skb = context;
	__u32 before = (__u32)(f->ip - (void *)f->eth), wanted = before + offset + L4_MAX;

	if (entry == ENTRY_TC && f->end - (void *)f->eth < wanted) {
		bpf_skb_pull_data(skb, wanted < skb->len ? wanted : skb->len);
		f->eth = (void *)(long)skb->data;
		f->end = (void *)(long)skb->data_end;
		f->ip = (void *)f->eth + (before & 31);
		return f->ip + sizeof(struct ipv6hdr) <= f->end;
	}
	return 1;
}
