/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame, and the packet in it as the parts of the data plane see it: addresses and ports are in its key. */
#pragma once

#include "sctp_state.h"

enum entry { ENTRY_TC, ENTRY_XDP };

/* Where the bytes are. Apart from struct packet, which functions that are verified on their own can then be given. */
struct frame {
	struct ethhdr *eth;
	void *end;
	void *ip;
	__u16 vid[MAX_TAGS]; /* VLANs, the outer first; priority tags left out */
	__u16 tci;	     /* of the outer tag */
	__be16 ethertype;    /* behind the tags */
	__be16 tag_protocol[MAX_TAGS];
	__u8 stripped; /* 1: the driver took the outer tag out of the bytes */
	__u8 tags;     /* with that one, and with priority tags */
};

/* What was decided about a packet without a connection; becomes its connection's. */
struct decision {
	__u16 service;
	__u16 server;
	__u16 forward_hop;
	__u16 last_hop;
	__u16 flags;  /* enum connection_flag */
	__u16 prefix; /* of the service's persistence, of 128 bits */
};

/* Where a packet leaves: set when it is forwarded. */
struct way_out {
	__u64 target; /* of the hop */
	__u64 mac;    /* of the leg, in the first six bytes */
	__u32 ifindex;
	__u16 hop;
	__u8 tags;    /* 1: the leg has VLAN tags */
	__u8 capture; /* 1: the leg is captured */
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
	__u32 l4_length;      /* bytes after the IP headers by the packet's own account: a frame may be padded */
	__u32 mtu;	      /* that it is too big for */
	__u32 datagram;	      /* identification of a fragment's datagram */
	__u32 own_datagram;   /* the same of an ICMP error that is a fragment itself */
	__u16 segments;	      /* packets on the wire: more than one for a GSO frame */
	__u16 headers;	      /* bytes of IP and L4 headers, which every segment of a GSO frame carries */
	__u16 source_hop;     /* the hop it came from, 0 if not known; set for a packet without a connection */
	__u8 ip_proto;
	__u8 dscp;
	__u8 family;	     /* 4 or 6 */
	__u8 fragment;	     /* enum fragment_kind; of an ICMP error: of the packet it quotes */
	__u8 signals;	     /* of its connection's state; TCP: the flags, RFC 9293 section 3.1; SCTP: sctp_signals() */
	__u8 from_low;	     /* the sender is the key's lower endpoint */
	__u8 opening;	     /* may be scheduled */
	__u8 related;	     /* an ICMP error; key and protocol are of the connection it talks about */
	__u8 first_of_error; /* and the first fragment of its own datagram */
	__u8 whole;	     /* not to be cut into fragments, and to be answered if it is too big: no ICMP error */
	__u8 unfinished;     /* its checksum; asked when it is answered */
	__u8 capture;	     /* the leg it came in by is captured */
	__u8 chosen_by;
	struct decision choice;
	struct connection_key key;
	struct way_out out;
};

static __always_inline const __u8 *source_of(const struct packet *p)
{
	return p->from_low ? p->key.low : p->key.high;
}

static __always_inline const __u8 *destination_of(const struct packet *p)
{
	return p->from_low ? p->key.high : p->key.low;
}

static __always_inline __be16 source_port_of(const struct packet *p)
{
	return p->from_low ? p->key.low_port : p->key.high_port;
}

static __always_inline __be16 destination_port_of(const struct packet *p)
{
	return p->from_low ? p->key.high_port : p->key.low_port;
}

static __always_inline void copy_address(__u8 *to, const __u8 *from)
{
	__u32 *out = (__u32 *)to;
	const __u32 *in = (const __u32 *)from;

	out[0] = in[0];
	out[1] = in[1];
	out[2] = in[2];
	out[3] = in[3];
}

static __always_inline void store_v4(__u8 *to, __be32 address)
{
	__u32 *words = (__u32 *)to;

	words[0] = 0;
	words[1] = 0;
	words[2] = htonl(0xffff);
	words[3] = address;
}

/* The addresses of a packet go to its key, sorted. */
static __always_inline void set_addresses_v4(struct packet *p, __be32 source, __be32 destination)
{
	p->family = 4;
	p->from_low = ntohl(source) < ntohl(destination);
	store_v4(p->key.low, p->from_low ? source : destination);
	store_v4(p->key.high, p->from_low ? destination : source);
}

/* Which of two IPv6 addresses is lower: words from the first on. */
static __always_inline bool lower(const __u32 *a, const __u32 *b)
{
	for (int i = 0; i < 3; i++)
		if (a[i] != b[i])
			return ntohl(a[i]) < ntohl(b[i]);
	return ntohl(a[3]) < ntohl(b[3]);
}

static __always_inline void set_addresses_v6(struct packet *p, const void *source, const void *destination)
{
	p->family = 6;
	p->from_low = lower(source, destination);
	if (p->from_low) {
		copy_address(p->key.low, source);
		copy_address(p->key.high, destination);
	} else {
		copy_address(p->key.low, destination);
		copy_address(p->key.high, source);
	}
}

static __always_inline void set_ports(struct packet *p, __be16 source, __be16 destination)
{
	p->key.low_port = p->from_low ? source : destination;
	p->key.high_port = p->from_low ? destination : source;
}

/* Bytes of a packet's IP header and of what stands before its L4 header. */
static __always_inline __u32 l3_length(const struct packet *p)
{
	return p->length - (p->segments - 1) * p->headers - p->l4_length;
}

/* Whether a packet's ICMP is its own family's; the other one is a protocol like any. */
static __always_inline bool icmp_of(__u8 family, __u8 ip_proto)
{
	return ip_proto == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}
