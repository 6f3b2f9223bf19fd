/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What packets write: connections and all that is remembered beside them. Part of abi.h. */
#pragma once

#include "limits.h"

/* Endpoints are sorted by address, then port, so that both directions have one key. */
struct connection_key {
	__u8 low[16];
	__u8 high[16];
	__be16 low_port;
	__be16 high_port;
	__u16 zone;
	__u8 ip_proto;
	__u8 reserved;
};

/* The tags of a bucket's ways, 0: free. One cache line, looked through before any entry is. */
struct bucket {
	__u32 tag[WAYS];
};

/* Entry of the connection table: two cache lines, of which the first has all that forwarding reads. */
struct connection {
	struct connection_key key;
	__u64 word; /* generation << 32 | flags << 8 | state: changed by compare-and-swap only */
	__u16 forward_hop;
	__u16 last_hop;
	__u16 service; /* SERVICE_NONE: for the real server's own address */
	__u16 server;
	__u64 last_seen_ns;
	__u64 created_ns;
	__u64 packets[DIRECTIONS];
	__u64 bytes[DIRECTIONS];
	__u8 persistence_prefix; /* of 128 bits */
	__u8 reserved[23];
};

/* What is one per connection table, or pair of them. The secret is read by every packet, the rest is not. */
struct table {
	__u64 secret[2]; /* of the keyed hash; made with the table, and kept as long as it */
	__u64 reserved[6];
	__u32 overflowed; /* connections with CONNECTION_OVERFLOW */
	__u32 overflowed_changes;
	__u32 unassured;
	__u32 unassured_changes;
	__u32 live; /* connections */
	__u32 live_changes;
	__u64 connections; /* for how many the table was made: the director's note */
	__u64 next_connections;
	__u32 samples;	     /* of asymmetric responses that were taken so far */
	__u32 captures_lost; /* frames that found no room in the map captures */
	__u32 more[4];
};

struct template_key {
	__u8 client[16]; /* masked */
	__u32 service;
};

struct template {
	__u64 expires_ns;
	__u32 server;	/* changed by compare-and-swap; SERVER_NONE: retired */
	__u32 children; /* live connections that it scheduled, and TEMPLATE_ASSURED */
};

/* Real servers that a destination has: one with lblc, a set with lblcr. */
struct locality {
	__u64 used_ns;
	__u64 changed_ns; /* when the set changed last */
	__u32 count;
	__u16 server[LOCALITY_SET];
	__u32 reserved;
};

/* A datagram of which a fragment was seen: what makes the key of its connection whole, and where its fragments go. */
struct fragment {
	__u64 seen_ns;
	__be16 low_port; /* these and ip_proto: NOTE_FIRST alone */
	__be16 high_port;
	__u16 hop;
	__u16 service;
	__u16 server;
	__u8 ip_proto;
	__u8 kind; /* enum note_kind */
	__u8 reserved[4];
};

struct pair_key {
	__u8 low[16];
	__u8 high[16];
	__u32 zone;
};

/* Connections of two addresses in a zone, in any order; 0: none. Of each its age, and what makes its key whole. */
struct pair {
	__u64 noted[PAIR_CONNECTIONS]; /* age << 41 | 1 << 40 | ip_proto << 32 | high_port << 16 | low_port */
};

/* A response that came from another real server than its connection's requests go to. */
struct sample {
	__u64 when_ns;
	struct connection_key key;
	__u16 expected; /* boxes */
	__u16 came_from;
	__u8 from_low; /* the response's sender */
	__u8 reserved[3];
};
