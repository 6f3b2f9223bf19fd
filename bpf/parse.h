/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From bytes to a struct packet. Reads nothing but the frame; a frame that cannot be understood
 * yields the reason for which it goes to the kernel.
 */
#pragma once

#include "sctp_state.h"

/* Bytes that must be linear to parse any packet: Ethernet, IPv4 with options, ICMP, embedded IPv4 with options, ports. */
#define HEADERS_MAX (ETH_HLEN + 60 + 8 + 60 + 8)

#define ICMP_ECHO_OR_REPLY(type) ((type) == ICMP_ECHO || (type) == ICMP_ECHOREPLY)

enum entry { ENTRY_TC, ENTRY_XDP };

/* Where the bytes are. Apart from struct packet, which functions that are verified on their own can then be given. */
struct frame {
	struct ethhdr *eth;
	void *end;
};

/* What was decided about a packet without a connection; becomes its connection's. */
struct decision {
	__u16 service;
	__u16 server;
	__u16 forward_hop;
	__u16 last_hop;
	__u16 flags;  /* enum connection_flag */
	__u16 prefix; /* of the service's persistence */
};

/* Where a packet leaves: set when it is forwarded. */
struct way_out {
	__u64 target; /* of the hop */
	__u64 mac;    /* of the leg, in the first six bytes */
	__u32 ifindex;
};

struct packet {
	__u64 now_ns;
	__u64 source_target; /* target word of the hop it came from; see struct hop */
	__u64 hash;	     /* of the key */
	__u64 word;	     /* of the entry that was found, then */
	__u32 slot;	     /* where it was found, and in which table */
	__u8 table;
	__u8 entry; /* enum entry */
	__u8 half;
	__u8 leg_id;
	__u32 length;	      /* bytes from the IP header on, without what a driver padded */
	__u32 segment_length; /* of one packet on the wire, from the IP header on; GSO: the payload until parsed */
	__u32 l4_length;      /* bytes after the IP header by the packet's own account: a frame may be padded */
	__u16 segments;	      /* packets on the wire: more than one for a GSO frame */
	__u16 headers;	      /* bytes of IP and L4 headers, which every segment of a GSO frame carries */
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u16 source_hop; /* the hop it came from, 0 if not known; set for a packet without a connection */
	__u8 ip_proto;
	__u8 dscp;
	__u8 signals;  /* of its connection's state; TCP: the flags, RFC 9293 section 3.1; SCTP: sctp_signals() */
	__u8 from_low; /* the sender is the key's lower endpoint */
	__u8 opening;  /* may be scheduled */
	__u8 related;  /* an ICMP error; key is of the connection it talks about */
	struct decision choice;
	struct connection_key key;
	struct way_out out;
};

static __always_inline void store_v4(__u8 *to, __be32 address)
{
	__u32 *words = (__u32 *)to;

	words[0] = 0;
	words[1] = 0;
	words[2] = htonl(0xffff);
	words[3] = address;
}

/* Fill the key with the endpoints in order; tell whether `source` became the low one. */
static __always_inline __u8 sort_endpoints(struct connection_key *key, __be32 source, __be16 source_port,
					   __be32 destination, __be16 destination_port)
{
	__u32 a = ntohl(source), b = ntohl(destination);

	if (a < b) {
		store_v4(key->low, source);
		store_v4(key->high, destination);
		key->low_port = source_port;
		key->high_port = destination_port;
		return 1;
	}
	store_v4(key->low, destination);
	store_v4(key->high, source);
	key->low_port = destination_port;
	key->high_port = source_port;
	return 0;
}

/*
 * The ports (or the echo identifier twice) at `l4`, of which `available` bytes are the packet's.
 * False: not there, or nothing to track by.
 */
static __always_inline bool parse_ports(const void *l4, const void *end, __u32 available, __u8 ip_proto, __be16 *source,
					__be16 *destination)
{
	if (ip_proto == IPPROTO_TCP || ip_proto == IPPROTO_UDP || ip_proto == IPPROTO_SCTP) {
		const __be16 *ports = l4;

		if ((const void *)(ports + 2) > end || available < 2 * sizeof(*ports))
			return 0;
		*source = ports[0];
		*destination = ports[1];
		return 1;
	}
	if (ip_proto == IPPROTO_ICMP) {
		const struct icmphdr *icmp = l4;

		if ((const void *)(icmp + 1) > end || available < sizeof(*icmp) || !ICMP_ECHO_OR_REPLY(icmp->type))
			return 0;
		*source = icmp->un.echo.id;
		*destination = icmp->un.echo.id;
		return 1;
	}
	return 0;
}

/* An IPv4 header that is whole and lies inside the frame: its length, else 0. */
static __always_inline __u32 header_length(const struct iphdr *ip, const void *end)
{
	__u32 length = ip->ihl * 4;

	if (ip->version != 4 || length < sizeof(*ip) || (const void *)ip + length > end)
		return 0;
	return length;
}

static __always_inline bool martian(__be32 source, __be32 destination)
{
	__u32 from = ntohl(source), to = ntohl(destination);

	return from >> 24 == 0 || to >> 24 == 0 ||	     /* 0.0.0.0/8, RFC 1122 */
	       from >> 24 == 127 || to >> 24 == 127 ||	     /* loopback */
	       from >> 28 >= 14 ||			     /* multicast or class E as a source */
	       to >> 28 == 15 ||			     /* class E, limited broadcast */
	       from >> 16 == 0xa9fe || to >> 16 == 0xa9fe || /* link-local, RFC 3927 */
	       from == to;				     /* no direction to tell apart */
}

/* TCP, UDP or ICMP echo: key and opening. */
static __always_inline __u32 parse_conversation(struct packet *p, const struct frame *f, const void *l4)
{
	if (!parse_ports(l4, f->end, p->l4_length, p->ip_proto, &p->source_port, &p->destination_port))
		return p->ip_proto == IPPROTO_ICMP ? KERNEL_PROTOCOL : KERNEL_TRUNCATED;
	p->opening = 1;
	if (p->ip_proto == IPPROTO_TCP) {
		const struct tcphdr *tcp = l4;

		if ((const void *)(tcp + 1) > f->end || p->l4_length < sizeof(*tcp))
			return KERNEL_TRUNCATED;
		if (tcp->doff * 4 < sizeof(*tcp) || tcp->doff * 4 > p->l4_length)
			return KERNEL_BAD_HEADER;
		p->headers += tcp->doff * 4;
		p->signals = ((const __u8 *)tcp)[13];
		p->opening = (p->signals & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	}
	if (p->ip_proto == IPPROTO_UDP) {
		if (p->l4_length < sizeof(struct udphdr))
			return KERNEL_TRUNCATED;
		p->headers += sizeof(struct udphdr);
	}
	if (p->ip_proto == IPPROTO_ICMP)
		p->opening = ((const struct icmphdr *)l4)->type == ICMP_ECHO;
	p->key.ip_proto = p->ip_proto;
	p->from_low = sort_endpoints(&p->key, p->source, p->source_port, p->destination, p->destination_port);
	return 0;
}

/*
 * An ICMP error: the key is that of the packet it quotes, which travelled the other way, so the
 * quoted destination takes the sender's place. Eight quoted bytes of L4 are enough (RFC 792).
 */
static __always_inline __u32 parse_icmp_error(struct packet *p, const struct frame *f, const void *l4)
{
	const struct iphdr *quoted = l4 + sizeof(struct icmphdr);
	__u32 length, available = p->l4_length - sizeof(struct icmphdr);
	__be16 source_port, destination_port;

	if ((const void *)(quoted + 1) > f->end)
		return KERNEL_TRUNCATED;
	length = header_length(quoted, f->end);
	if (!length || available < length)
		return KERNEL_TRUNCATED;
	if (quoted->saddr != p->destination || martian(quoted->saddr, quoted->daddr))
		return KERNEL_BAD_HEADER;
	if (quoted->frag_off & htons(IP_FRAGMENT_OFFSET))
		return KERNEL_FRAGMENT;
	if (!parse_ports((const void *)quoted + length, f->end, available - length, quoted->protocol, &source_port,
			 &destination_port))
		return KERNEL_PROTOCOL;
	p->related = 1;
	p->key.ip_proto = quoted->protocol;
	p->from_low = sort_endpoints(&p->key, quoted->daddr, destination_port, quoted->saddr, source_port);
	return 0;
}

static __always_inline __u32 parse_icmp(struct packet *p, const struct frame *f, const void *l4)
{
	const struct icmphdr *icmp = l4;

	if ((const void *)(icmp + 1) > f->end || p->l4_length < sizeof(*icmp))
		return KERNEL_TRUNCATED;
	switch (icmp->type) {
	case ICMP_ECHO:
	case ICMP_ECHOREPLY:
		return parse_conversation(p, f, l4);
	case ICMP_DEST_UNREACH:
	case ICMP_SOURCE_QUENCH:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
		return parse_icmp_error(p, f, l4);
	default:
		return KERNEL_PROTOCOL;
	}
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

/* SCTP: key, opening and signals. Of a list of packets, whose chunks are out of reach, the entry knows the first one's type. */
static __always_inline __u32 parse_association(struct packet *p, const struct frame *f, const void *l4)
{
	const struct sctp_chunk *chunk = l4 + sizeof(struct sctphdr);
	__u32 available = p->l4_length - sizeof(struct sctphdr), type = p->signals;

	if (p->l4_length < sizeof(struct sctphdr) + sizeof(*chunk) ||
	    !parse_ports(l4, f->end, p->l4_length, IPPROTO_SCTP, &p->source_port, &p->destination_port))
		return KERNEL_TRUNCATED;
	p->headers += sizeof(struct sctphdr);
	if ((const void *)(chunk + 1) <= f->end) {
		if (ntohs(chunk->length) < sizeof(*chunk) || ntohs(chunk->length) > available)
			return KERNEL_BAD_HEADER;
		type = deciding_chunk(chunk, f->end, available);
	} else if (p->segment_length != GSO_BY_FRAGS) {
		return KERNEL_TRUNCATED;
	}
	if (p->segment_length == GSO_BY_FRAGS)
		even_out(p);
	p->opening = type == SCTP_INIT;
	p->signals = sctp_signals(type);
	p->key.ip_proto = IPPROTO_SCTP;
	p->from_low = sort_endpoints(&p->key, p->source, p->source_port, p->destination, p->destination_port);
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

/*
 * Everything after the Ethernet header. 0, or the reason for which the kernel gets the packet. Not inlined: its stack is
 * free again when a decision is made, which needs nearly all of the 512 bytes there are.
 */
static inline __noinline __u32 parse_ipv4(struct packet *p, const struct frame *f)
{
	const struct iphdr *ip = (const void *)(f->eth + 1);
	__u32 length, reason;

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
	p->source = ip->saddr;
	p->destination = ip->daddr;
	p->ip_proto = ip->protocol;
	p->dscp = ip->tos >> 2;
	if (ntohl(ip->daddr) >> 28 == 14)
		return KERNEL_MULTICAST;
	if (martian(ip->saddr, ip->daddr))
		return KERNEL_MARTIAN;
	if (ip->frag_off & htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		return KERNEL_FRAGMENT;
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP)
		reason = parse_conversation(p, f, (const void *)ip + length);
	else if (ip->protocol == IPPROTO_ICMP)
		reason = parse_icmp(p, f, (const void *)ip + length);
	else if (ip->protocol == IPPROTO_SCTP)
		reason = parse_association(p, f, (const void *)ip + length);
	else
		reason = KERNEL_PROTOCOL;
	if (!reason)
		count_segments(p);
	return reason;
}

/* The Ethernet header. 0, or the reason for which the kernel gets the frame. */
static __always_inline __u32 parse_ethernet(const struct frame *f)
{
	if ((const void *)(f->eth + 1) > f->end)
		return KERNEL_TRUNCATED;
	if (f->eth->h_proto == htons(ETH_P_8021Q) || f->eth->h_proto == htons(ETH_P_8021AD))
		return KERNEL_VLAN;
	if (f->eth->h_proto == htons(ETH_P_IPV6))
		return KERNEL_IPV6;
	if (f->eth->h_proto != htons(ETH_P_IP))
		return KERNEL_NOT_IP;
	return 0;
}
