/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IP headers of both families, and what ICMP errors quote. An error's key is that of the packet it quotes, which travelled
 * the other way, so the quoted destination takes the sender's place. Eight quoted bytes of L4 are enough (RFC 792).
 */
#pragma once

#include "extension.h"
#include "parse.h"

static __always_inline bool martian_v4(__be32 source, __be32 destination)
{
	__u32 from = ntohl(source), to = ntohl(destination);

	return from >> 24 == 0 || to >> 24 == 0 ||	     /* 0.0.0.0/8, RFC 1122 */
	       from >> 24 == 127 || to >> 24 == 127 ||	     /* loopback */
	       from >> 28 >= 14 ||			     /* multicast or class E as a source */
	       to >> 28 == 15 ||			     /* class E, limited broadcast */
	       from >> 16 == 0xa9fe || to >> 16 == 0xa9fe || /* link-local, RFC 3927 */
	       from == to;				     /* no direction to tell apart */
}

/* ::/96 with :: and ::1, ::ffff:0:0/96, whose keys would be IPv4's, and fe80::/10 (RFC 4291). */
static __always_inline bool crosses_no_router(const __u32 *address)
{
	if (!(address[0] | address[1]))
		return address[2] == htonl(0xffff) || (!address[2] && ntohl(address[3]) <= 1);
	return (ntohl(address[0]) >> 22) == 0xfe80 >> 6;
}

static __always_inline bool multicast_v6(const __u32 *address)
{
	return ntohl(address[0]) >> 24 == 0xff;
}

static __always_inline bool same_address(const __u32 *a, const __u32 *b)
{
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

static __always_inline bool martian_v6(const __u32 *source, const __u32 *destination)
{
	return crosses_no_router(source) || crosses_no_router(destination) || multicast_v6(source) ||
	       same_address(source, destination);
}

/* An IPv4 header that is whole and lies inside the frame: its length, else 0. */
static __always_inline __u32 header_length(const struct iphdr *ip, const void *end)
{
	__u32 length = ip->ihl * 4;

	if (ip->version != 4 || length < sizeof(*ip) || (const void *)ip + length > end)
		return 0;
	return length;
}

/* The packet is an ICMP error: what is its own goes aside for what it quotes. */
static __always_inline void note_error(struct packet *p)
{
	p->related = 1;
	p->first_of_error = p->fragment == FRAGMENT_FIRST;
	p->own_datagram = p->datagram;
}

/* What a quoted packet's ports are, or that it is a fragment without any: 0, or the reason why it tells nothing. */
static __always_inline __u32 parse_quoted(struct packet *p, const struct frame *f, const void *l4, __u32 available)
{
	__be16 port;

	p->whole = 0;
	p->opening = 0;
	p->key.ip_proto = p->ip_proto;
	if (p->fragment == FRAGMENT_LATER) {
		set_ports(p, 0, 0);
		return 0;
	}
	/* The addresses were set turned round; the ports, which are not, follow. A GRE key has no direction. */
	p->fragment = FRAGMENT_NONE;
	__u32 reason = parse_ports(p, f, l4, available);
	if (reason || p->ip_proto == IPPROTO_GRE)
		return reason;
	port = p->key.low_port;
	p->key.low_port = p->key.high_port;
	p->key.high_port = port;
	return 0;
}

static __always_inline __u32 parse_icmp_error_v4(struct packet *p, const struct frame *f, const void *l4)
{
	const struct iphdr *ip = f->ip, *quoted = l4 + sizeof(struct icmphdr);
	__u32 length, available = p->l4_length - sizeof(struct icmphdr);

	note_error(p);
	if (p->l4_length < sizeof(struct icmphdr) || (const void *)(quoted + 1) > f->end)
		return KERNEL_TRUNCATED;
	length = header_length(quoted, f->end);
	if (!length || available < length)
		return KERNEL_TRUNCATED;
	if (quoted->saddr != ip->daddr || martian_v4(quoted->saddr, quoted->daddr) || ntohl(quoted->daddr) >> 28 == 14)
		return KERNEL_BAD_HEADER;
	set_addresses_v4(p, quoted->daddr, quoted->saddr);
	p->ip_proto = quoted->protocol;
	p->datagram = quoted->id;
	p->fragment = quoted->frag_off & htons(IP_FRAGMENT_OFFSET) ? FRAGMENT_LATER : FRAGMENT_NONE;
	return parse_quoted(p, f, (const void *)quoted + length, available - length);
}

static __always_inline bool icmp_error_v4(__u8 type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

/* Everything from the IPv4 header on. 0, or the reason for which the kernel gets the packet. */
static __always_inline __u32 parse_ipv4(struct packet *p, struct frame *f)
{
	const struct iphdr *ip = f->ip;
	const struct icmphdr *icmp;
	__u32 length;

	if ((const void *)(ip + 1) > f->end)
		return KERNEL_TRUNCATED;
	length = header_length(ip, f->end);
	if (!length)
		return KERNEL_BAD_HEADER;
	/* A GSO frame's total length is its own affair: the kernel made it, and may leave 0 in it. */
	if (!p->segment_length) {
		if (ntohs(ip->tot_len) < length)
			return KERNEL_BAD_HEADER;
		if (ntohs(ip->tot_len) > p->length)
			return KERNEL_TRUNCATED;
		p->length = ntohs(ip->tot_len);
	}
	p->l4_length = p->length - length;
	p->headers = length;
	p->ip_proto = ip->protocol;
	p->dscp = ip->tos >> 2;
	if (ntohl(ip->daddr) >> 28 == 14)
		return KERNEL_MULTICAST;
	if (martian_v4(ip->saddr, ip->daddr))
		return KERNEL_MARTIAN;
	set_addresses_v4(p, ip->saddr, ip->daddr);
	p->whole = !!(ip->frag_off & htons(IP_DONT_FRAGMENT));
	if (unlikely(ip->frag_off & htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))) {
		p->datagram = ip->id;
		p->fragment = ip->frag_off & htons(IP_FRAGMENT_OFFSET) ? FRAGMENT_LATER : FRAGMENT_FIRST;
		if (p->fragment == FRAGMENT_LATER) {
			p->key.ip_proto = p->ip_proto;
			return 0;
		}
	}
	icmp = f->ip + length;
	if (unlikely(p->ip_proto == IPPROTO_ICMP) && (const void *)(icmp + 1) <= f->end && icmp_error_v4(icmp->type))
		return parse_icmp_error_v4(p, f, icmp);
	return parse_conversation(p, f, f->ip + length);
}

/* ICMPv6 that belongs to the link: multicast listeners, neighbour discovery and its relatives (IANA's registry). */
static __always_inline bool icmpv6_of_link(__u8 type)
{
	return (type >= 130 && type <= 137) || (type >= 141 && type <= 143) || (type >= 148 && type <= 153);
}

static __always_inline __u32 parse_icmp_error_v6(struct packet *p, struct frame *f, __u32 offset, void *context,
						 enum entry entry)
{
	const struct ipv6hdr *ip = f->ip, *quoted = f->ip + offset + sizeof(struct icmphdr);
	__u32 available = p->l4_length - sizeof(struct icmphdr);
	struct walk walk;

	note_error(p);
	if (p->l4_length < sizeof(struct icmphdr) + sizeof(*quoted) || (const void *)(quoted + 1) > f->end ||
	    (const void *)(ip + 1) > f->end)
		return KERNEL_TRUNCATED;
	if (quoted->version != 6 || !same_address(quoted->saddr.in6_u.u6_addr32, ip->daddr.in6_u.u6_addr32) ||
	    martian_v6(quoted->saddr.in6_u.u6_addr32, quoted->daddr.in6_u.u6_addr32) ||
	    multicast_v6(quoted->daddr.in6_u.u6_addr32))
		return KERNEL_BAD_HEADER;
	set_addresses_v6(p, &quoted->daddr, &quoted->saddr);
	offset += sizeof(struct icmphdr) + sizeof(*quoted);
	available -= sizeof(*quoted);
	walk.ip_proto = quoted->nexthdr;
	walk.length = 0;
	walk.fragment = FRAGMENT_NONE;
	walk.datagram = 0;
	if (unlikely(extends(walk.ip_proto))) {
		if (!walk_extensions(&walk, f, offset, available, context, entry) || walk.length > available)
			return KERNEL_TRUNCATED;
		if (!reach(f, offset + walk.length, context, entry))
			return KERNEL_TRUNCATED;
	}
	p->ip_proto = walk.ip_proto;
	p->datagram = walk.datagram;
	p->fragment = walk.fragment;
	offset += walk.length;
	OPAQUE(offset);
	return parse_quoted(p, f, f->ip + (offset & OFFSET_MASK), available - walk.length);
}

/* Everything from the IPv6 header on. 0, or the reason for which the kernel gets the packet. */
static __always_inline __u32 parse_ipv6(struct packet *p, struct frame *f, void *context, enum entry entry)
{
	const struct ipv6hdr *ip = f->ip;
	__u32 offset = sizeof(*ip), payload;
	const struct icmphdr *icmp;
	struct walk walk;

	if ((const void *)(ip + 1) > f->end)
		return KERNEL_TRUNCATED;
	if (ip->version != 6)
		return KERNEL_BAD_HEADER;
	payload = ntohs(ip->payload_len);
	/* As with IPv4, a GSO frame's length is the kernel's affair: more than 64 KiB are written as 0. */
	if (!p->segment_length) {
		if (payload + sizeof(*ip) > p->length)
			return KERNEL_TRUNCATED;
		p->length = payload + sizeof(*ip);
	}
	p->dscp = (ntohs(*(const __be16 *)ip) >> 6) & 0x3f;
	if (multicast_v6(ip->daddr.in6_u.u6_addr32))
		return KERNEL_MULTICAST;
	if (martian_v6(ip->saddr.in6_u.u6_addr32, ip->daddr.in6_u.u6_addr32))
		return KERNEL_MARTIAN;
	set_addresses_v6(p, &ip->saddr, &ip->daddr);
	p->whole = 1;
	p->ip_proto = ip->nexthdr;
	if (unlikely(extends(p->ip_proto))) {
		walk.ip_proto = p->ip_proto;
		if (!walk_extensions(&walk, f, offset, p->length - offset, context, entry) ||
		    walk.length > p->length - offset)
			return KERNEL_TRUNCATED;
		p->ip_proto = walk.ip_proto;
		p->fragment = walk.fragment;
		p->datagram = walk.datagram;
		offset += walk.length;
		if (!reach(f, offset, context, entry))
			return KERNEL_TRUNCATED;
	}
	p->l4_length = p->length - offset;
	p->headers = offset;
	if (p->fragment == FRAGMENT_LATER) {
		p->key.ip_proto = p->ip_proto;
		return 0;
	}
	OPAQUE(offset);
	offset &= OFFSET_MASK;
	icmp = f->ip + offset;
	if (unlikely(p->ip_proto == IPPROTO_ICMPV6) && (const void *)(icmp + 1) <= f->end) {
		if (icmpv6_of_link(icmp->type))
			return KERNEL_NEIGHBOUR;
		if (icmp->type > 0 && icmp->type < ICMPV6_ECHO)
			return parse_icmp_error_v6(p, f, offset, context, entry);
	}
	return parse_conversation(p, f, f->ip + offset);
}

/* The packet in a frame. 0, or the reason for which the kernel gets it. */
static __always_inline __u32 parse_packet(struct packet *p, struct frame *f, void *context, enum entry entry)
{
	__u32 reason = likely(f->ethertype == htons(ETH_P_IP)) ? parse_ipv4(p, f)
		       : f->ethertype == htons(ETH_P_IPV6)     ? parse_ipv6(p, f, context, entry)
							       : KERNEL_NOT_IP;

	if (!reason)
		count_segments(p);
	return reason;
}

/*
 * Not inlined, once for each kind of program: the stack they need is free again when a decision is made, which needs nearly
 * all of the 512 bytes there are.
 */
static __noinline __u32 parse_skb(struct packet *p, struct frame *f, struct __sk_buff *skb)
{
	return parse_packet(p, f, skb, ENTRY_TC);
}

static __noinline __u32 parse_xdp(struct packet *p, struct frame *f, struct xdp_md *context)
{
	return parse_packet(p, f, context, ENTRY_XDP);
}
