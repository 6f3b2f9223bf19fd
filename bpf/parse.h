/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is behind the IP headers: protocol, ports, what opens a connection, ICMP's messages. Reads nothing but the frame; what
 * cannot be understood yields the reason for which it goes to the kernel.
 */
#pragma once

#include "packet.h"

/* Bytes that must be linear for most packets: tags, IP with options, ICMP, embedded IP with options, ports. */
#define HEADERS_MAX (ETH_HLEN + 8 + 60 + 8 + 60 + 8)

#define GRE_KEY_PRESENT 0x2000
#define GRE_CHECKSUM_PRESENT 0x8000
#define GRE_VERSION 0x0007

/* ICMP queries and what answers them, RFC 792, 950, 4443: they carry an identifier. */
static __always_inline bool icmp_query(__u8 ip_proto, __u8 type)
{
	if (ip_proto == IPPROTO_ICMPV6)
		return type == ICMPV6_ECHO || type == ICMPV6_ECHOREPLY;
	return type == ICMP_ECHO || type == ICMP_ECHOREPLY || (type >= ICMP_TIMESTAMP && type <= ICMP_ADDRESSREPLY);
}

/* Of those, the ones that ask. */
static __always_inline bool icmp_asks(__u8 ip_proto, __u8 type)
{
	if (ip_proto == IPPROTO_ICMPV6)
		return type == ICMPV6_ECHO;
	return type == ICMP_ECHO || (type >= ICMP_TIMESTAMP && type & 1);
}

/* The key of a GRE packet to both its ports. RFC 2890; version 1 is PPTP's, whose call id differs by direction. */
static __always_inline __u32 parse_gre(struct packet *p, const struct frame *f, const void *l4, __u32 available)
{
	const __be16 *header = l4, *key;
	__u32 flags;

	if ((const void *)(header + 2) > f->end || available < 2 * sizeof(*header))
		return KERNEL_TRUNCATED;
	flags = ntohs(header[0]);
	if (!(flags & GRE_KEY_PRESENT) || flags & GRE_VERSION)
		return 0;
	key = flags & GRE_CHECKSUM_PRESENT ? header + 4 : header + 2;
	/* Of a packet that is quoted the key behind a checksum need not be there: then it is one without. */
	if ((const void *)(key + 2) > f->end || available < (flags & GRE_CHECKSUM_PRESENT ? 12 : 8))
		return p->related ? 0 : KERNEL_TRUNCATED;
	p->key.low_port = key[0];
	p->key.high_port = key[1];
	return 0;
}

/*
 * The ports at `l4`, of which `available` bytes are the packet's; an ICMP query's identifier twice; none for what has none.
 * 0, or the reason why they cannot be told. Eight bytes are enough.
 */
static __always_inline __u32 parse_ports(struct packet *p, const struct frame *f, const void *l4, __u32 available)
{
	const __be16 *ports = l4;

	p->key.ip_proto = p->ip_proto;
	p->key.low_port = 0;
	p->key.high_port = 0;
	if (p->ip_proto == IPPROTO_TCP || p->ip_proto == IPPROTO_UDP || p->ip_proto == IPPROTO_SCTP) {
		if ((const void *)(ports + 2) > f->end || available < 2 * sizeof(*ports))
			return KERNEL_TRUNCATED;
		set_ports(p, ports[0], ports[1]);
		return 0;
	}
	if (icmp_of(p->family, p->ip_proto)) {
		const struct icmphdr *icmp = l4;

		if ((const void *)(icmp + 1) > f->end || available < sizeof(*icmp))
			return KERNEL_TRUNCATED;
		if (!icmp_query(p->ip_proto, icmp->type))
			return KERNEL_PROTOCOL;
		set_ports(p, icmp->un.echo.id, icmp->un.echo.id);
		return 0;
	}
	return p->ip_proto == IPPROTO_GRE ? parse_gre(p, f, l4, available) : 0;
}

static __always_inline __u32 parse_tcp(struct packet *p, const struct frame *f, const void *l4)
{
	const struct tcphdr *tcp = l4;

	if ((const void *)(tcp + 1) > f->end || p->l4_length < sizeof(*tcp))
		return KERNEL_TRUNCATED;
	if (tcp->doff * 4 < sizeof(*tcp) || tcp->doff * 4 > p->l4_length)
		return KERNEL_BAD_HEADER;
	p->headers += tcp->doff * 4;
	p->signals = ((const __u8 *)tcp)[13];
	p->opening = (p->signals & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	return 0;
}

/*
 * A GSO frame of SCTP is a list of packets of any size (net/sctp/output.c). They are counted as if all had the same: the
 * sender cut them for its path, and the one that the MTU of a leg does not let through it sends again by itself.
 */
static __always_inline void even_out(struct packet *p)
{
	__u32 payload = p->length - p->headers;

	p->segment_length = p->segments > 1 ? (payload + p->segments - 1) / p->segments : payload;
}

/* SCTP: opening and signals. Of a list of packets, whose chunks are out of reach, the entry knows the first one's type. */
static __always_inline __u32 parse_sctp(struct packet *p, const struct frame *f, const void *l4)
{
	const struct sctp_chunk *chunk = l4 + sizeof(struct sctphdr);
	__u32 available = p->l4_length - sizeof(struct sctphdr), type = p->signals;

	if (p->l4_length < sizeof(struct sctphdr) + sizeof(*chunk))
		return KERNEL_TRUNCATED;
	p->headers += sizeof(struct sctphdr);
	if ((const void *)(chunk + 1) <= f->end) {
		if (ntohs(chunk->length) < sizeof(*chunk) ||
		    (ntohs(chunk->length) > available && p->fragment == FRAGMENT_NONE))
			return KERNEL_BAD_HEADER;
		type = deciding_chunk(chunk, f->end, available);
	} else if (p->segment_length != GSO_BY_FRAGS) {
		return KERNEL_TRUNCATED;
	}
	if (p->segment_length == GSO_BY_FRAGS)
		even_out(p);
	p->opening = type == SCTP_INIT;
	p->signals = sctp_signals(type);
	return 0;
}

/* A packet whose key is its own: ports, what it opens and what it says of its connection's state. */
static __always_inline __u32 parse_conversation(struct packet *p, const struct frame *f, const void *l4)
{
	__u32 reason = parse_ports(p, f, l4, p->l4_length);

	if (reason)
		return reason;
	p->opening = 1;
	switch (p->ip_proto) {
	case IPPROTO_TCP:
		return parse_tcp(p, f, l4);
	case IPPROTO_SCTP:
		return parse_sctp(p, f, l4);
	case IPPROTO_UDP:
		if (p->l4_length < sizeof(struct udphdr))
			return KERNEL_TRUNCATED;
		p->headers += sizeof(struct udphdr);
		return 0;
	}
	if (icmp_of(p->family, p->ip_proto)) {
		const struct icmphdr *icmp = l4;

		if ((const void *)(icmp + 1) > f->end)
			return KERNEL_TRUNCATED;
		p->opening = icmp_asks(p->ip_proto, icmp->type);
	}
	return 0;
}

/*
 * A GSO frame stands for segments that each carry the headers: count them as the wire will. Their
 * number is 0 where nobody has cut the frame yet, as from a virtual machine's network card.
 */
static __always_inline void count_segments(struct packet *p)
{
	__u32 size = p->segment_length, payload = p->length - p->headers;

	if (!size) {
		p->segments = 1;
		p->segment_length = p->length;
		return;
	}
	if (!p->segments)
		p->segments = payload > size ? (payload + size - 1) / size : 1;
	p->segment_length = (payload < size ? payload : size) + p->headers;
	p->length += (p->segments - 1) * p->headers;
}
