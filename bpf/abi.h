/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything the kernel side shares with Python: limits, enums, structs. No logic.
 *
 * Python builds its numpy dtypes and enums from the BTF of the object made from this file, so a
 * name here is the name there. Addresses are in network order, IPv4 as ::ffff:a.b.c.d; times are
 * nanoseconds of CLOCK_MONOTONIC_COARSE.
 */
#pragma once

#include "flags.h"
#include "reasons.h"
#include "states.h"

enum limits {
	ABI_VERSION = 6, /* of everything pinned; a director takes over only its own */
	MAX_LEGS = 64,
	SMALL_IFINDEX = 16384,
	MAX_RULES = 4096,
	MAX_SERVICES = 1024,
	MAX_SERVERS = 65535, /* ids are of 16 bits, and the last is SERVER_NONE */
	MAX_BOXES = 8192,
	MAX_HOPS = 65536,
	/* Hop ids from here on are the director's to give; packets learn below. */
	FIRST_DIRECTOR_HOP = MAX_HOPS - 8192,
	MAX_LISTED = 1048576,
	MAX_TEMPLATES = 1048576,
	MAX_OWN_MACS = 4096,
	MAX_LOCAL = 65536,
	FALLBACK_SLOTS = 1021,
	HASH_BITS = 8,	  /* of a slot of the schedulers sh and dh */
	LOCALITY_SET = 8, /* servers of a destination, with lblcr; a power of two */
	MAX_LOCALITIES = 65536,
	MAX_FRAGMENTS = 65536, /* datagrams of which a fragment came in the last 30 s */
	MAX_PAIRS = 131072,    /* of addresses, with related = "address-pair" */
	MAX_NEIGHBOURS = 65536,
	MAX_TAGS = 2,	    /* VLAN tags of a frame */
	SAMPLES = 64,	    /* asymmetric responses that are remembered */
	SNAP_LENGTH = 1984, /* bytes of a frame that are captured */
	WAYS = 16,	    /* of a bucket of the connection table */
	NAME_LENGTH = 64,
};

/* The two halves of everything that is published: packets read one, Python builds the other. */
enum half_count { HALVES = 2 };

enum direction { REQUEST, RESPONSE, DIRECTIONS };

/* Which connection table: during a resize there are two. */
enum table_id { TABLE_MAIN, TABLE_NEXT };

/* How far a resize is: written before anything is done, so that a later director goes on with it. */
enum resize_phase {
	RESIZE_NONE,
	RESIZE_LOOK,   /* programs are becoming ROLE_MAIN */
	RESIZE_MOVE,   /* programs are becoming ROLE_NEXT, then connections are moved */
	RESIZE_SWITCH, /* all are moved: the next table is becoming the main one, programs ROLE_ALONE */
};

/* What the programs of an object do with the two tables; see migrate.h. */
enum table_role {
	ROLE_ALONE, /* there is one */
	ROLE_MAIN,  /* look in both, insert in the main one */
	ROLE_NEXT,  /* look in both, insert in the next one */
};

/* Rule fields that mean "any", and the service of a pass rule. */
enum rule_value {
	ANY_LEG = 0xffff,
	ANY_DSCP = 0xff,
	ANY_PROTOCOL = 0,
	ANY_FAMILY = 0,
	NO_BOX = 0,
	ANY_BOX = 0xffff,
};

enum service_id { SERVICE_NONE = 0xffff };
enum server_id { SERVER_NONE = 0xffff };

/* A VLAN tag, without its priority bits. Protocol 0: none. */
struct vlan_tag {
	__be16 protocol; /* 802.1Q or 802.1ad */
	__u16 vid;
};

/* An attached interface, or one VLAN of it. `zone` is part of every connection's key. */
struct leg {
	__u32 ifindex; /* 0: the slot is free */
	__u32 mtu;
	__u8 mac[ETH_ALEN];
	__u16 zone;
	__u32 flags; /* enum leg_flag */
	__u32 hops_learned;
	__u32 gateway_hop; /* with LEG_NEIGHBOUR: where responses to who is not on the link go; 0: not known */
	struct vlan_tag tags[MAX_TAGS]; /* of its frames, the outer first */
	__u32 reserved;
};

/* Which frames of an interface are a tagged leg's. Priority tags (VLAN 0) count as none. */
struct vlan_leg {
	__u32 ifindex;
	__u16 outer;
	__u16 inner; /* 0: none */
};

/* A neighbour on a leg. */
struct neighbour_key {
	__u32 leg;
	__u8 address[16];
};

/* Prefixes of a leg's own subnets; the length counts the leg's 32 bits too. */
struct link_key {
	__u32 prefix_length;
	__u32 leg;
	__u8 address[16];
};

/* What the transmit probe sends: not a frame any bridge forwards or any host accepts. */
struct probe_frame {
	struct ethhdr eth;
	__u16 reserved;
	__u32 ifindex;
	__u8 padding[40];
};

struct own_mac_key {
	__u32 ifindex;
	__u8 mac[ETH_ALEN];
	__u16 reserved;
};

/*
 * Where frames are sent. The target word is the MAC address in its first six bytes and the leg's
 * id + 1 in the last two (0: free), so that one write re-points every connection that goes there.
 */
struct hop {
	__u64 target;
	__u16 box;   /* id of the real server's name, or NO_BOX */
	__u16 flags; /* enum hop_flag */
	__u32 moved;
	__u8 address[16]; /* the neighbour's, ::ffff:a.b.c.d for IPv4; zero if not known */
};

struct service {
	__u32 mark;
	__u16 choice;
	__u16 flags;
	__u32 first_server; /* in `listed`: the service's servers in file order */
	__u32 first_turn;   /* in `listed`: the slots of BY_TURN */
	__u16 server_count;
	__u16 turn_count;
	__u16 fallback_count;	  /* FALLBACK_SLOTS, or 0 when no server is usable */
	__u8 persistence_prefix;  /* of IPv4, as of all 128 bits: 96 and more */
	__u8 persistence_prefix6; /* of IPv6 */
	__u32 mtu;		  /* the smallest of its real servers' legs: nothing larger is scheduled */
	__u32 on_death;
	__u64 persistence_ns; /* 0: no persistence */
};

/*
 * A live counter is followed by a count of its changes, with which it makes one word that is added to at once: a sweep
 * that finds the changes as they were knows that nobody moved the counter meanwhile.
 */
struct service_load {
	__u64 turn;
	__u32 unassured; /* live connections that are not assured */
	__u32 unassured_changes;
};

/* A real server of one service. */
struct server {
	__u32 hop; /* 0: its MAC address was never known */
	__u16 service;
	__u16 box;
	__u32 weight; /* configured */
	__u32 flags;
};

struct server_load {
	__u32 active;
	__u32 active_changes;
	__u32 inactive;
	__u32 inactive_changes;
	__u32 persistent;
	__u32 overloaded; /* upper was reached, and the connections did not come below lower since */
	__u32 upper;	  /* the director's: thresholds of active and inactive connections, 0: none */
	__u32 lower;
};

/* LVS: struct ip_vs_kstats. */
struct statistics {
	__u64 connections;
	__u64 packets[DIRECTIONS];
	__u64 bytes[DIRECTIONS];
	__u64 reserved[3];
};

/* Of a real server, or of a service: then `over` is of the real servers it does not have any more. */
struct account {
	struct statistics over; /* connections that were given to it, packets and bytes of those that are over */
	struct statistics zero; /* what to subtract: the director's, as of the last ipvsadm -Z */
};

/* Rendezvous: the id of the server for each slot of the unordered address pair's hash. */
struct fallback {
	__u16 server[FALLBACK_SLOTS + 3];
};

/* Addresses and masks of a rule are of 128 bits: an IPv4 prefix is one of ::ffff:0:0/96. */
struct rule {
	__u8 source[16];
	__u8 source_mask[16];
	__u8 destination[16];
	__u8 destination_mask[16];
	__u16 source_port_first;
	__u16 source_port_last;
	__u16 destination_port_first;
	__u16 destination_port_last;
	__u16 service; /* SERVICE_NONE: pass rule */
	__u16 leg;
	__u16 box;
	__u8 ip_proto;
	__u8 dscp;
	__u8 family; /* ANY_FAMILY, 4, 6 */
	__u8 reserved[7];
};

struct ruleset {
	__u32 pass_count; /* the first rules are pass rules */
	__u32 rule_count;
	__u64 timeout_ns[STATE_COUNT];
	__u32 flags; /* enum ruleset_flag */
	__u32 reserved;
	__u64 replace_idle_ns; /* an assured connection that is idle for longer may give way in a full bucket */
};

struct live {
	__u32 half;
	__u32 next_hop; /* ids below it were given out to packets; 0 is never given */
	__u32 abi_version;
	__u32 netns; /* inode number of the network namespace the legs are in */
	__u32 resize_phase;
	__u32 reserved;
};

struct local_key {
	__u32 prefix_length;
	__u8 address[16];
};

/* What a service by address takes. The half is part of it, so that one write switches these too. */
struct virtual_address {
	__u8 address[16];
	__be16 port; /* 0: every port */
	__u16 zone;
	__u8 ip_proto;
	__u8 half;
	__u16 reserved;
};

struct server_address {
	__u32 zone;
	__u8 address[16];
};

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
	__u32 samples; /* of asymmetric responses that were taken so far */
	__u32 more[5];
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
	__be16 low_port; /* 0 both, while the first fragment was not seen */
	__be16 high_port;
	__u16 hop;
	__u16 service;
	__u16 server;
	__u8 ip_proto;
	__u8 reserved[5];
};

/* The oldest live connection of two addresses in a zone: what makes its key whole. */
struct pair_key {
	__u8 low[16];
	__u8 high[16];
	__u32 zone;
};

struct pair {
	__be16 low_port;
	__be16 high_port;
	__u8 ip_proto;
	__u8 reserved[3];
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

/* What chose the real server of a packet. */
enum chosen_by {
	CHOSEN_NOT,
	CHOSEN_BEFORE,	  /* by the connection */
	CHOSEN_SCHEDULED, /* by the scheduler */
	CHOSEN_TEMPLATE,  /* by a persistence template */
	CHOSEN_RELATED,	  /* by another connection of the same addresses */
	CHOSEN_FRAGMENT,  /* by an earlier fragment of the datagram */
	CHOSEN_RENDEZVOUS,
	CHOSEN_ADDRESS, /* it is the destination */
};

/* What an explaining program found about one frame: written by it only. */
struct record {
	struct connection_key key;
	__u64 source_target;
	__u64 target;
	__u64 hash;
	__u64 word; /* of the connection; 0: none was found */
	__u32 slot;
	__u32 ifindex; /* it leaves by */
	__u32 reason;
	__u32 rule;	 /* position + 1 of the one that matched, in the live half */
	__u32 pair_slot; /* of the rendezvous table */
	__u16 service;
	__u16 server;
	__u16 forward_hop;
	__u16 last_hop;
	__u16 source_hop;
	__u16 length;
	__u8 table;
	__u8 leg;
	__u8 ip_proto;
	__u8 signals;
	__u8 from_low;
	__u8 opening;
	__u8 related;
	__u8 fragment; /* enum fragment_kind */
	__u8 chosen_by;
	__u8 ended; /* 1: the connection that was found is over */
	__u8 reserved[6];
};

/* A captured frame: as it came in, or as it goes out. */
struct captured {
	__u64 when_ns; /* CLOCK_MONOTONIC */
	__u32 length;
	__u32 snapped; /* bytes of `data` */
	__u32 reason;
	__u32 ifindex;
	__u16 leg;
	__u16 tci;	     /* of a tag that is not in the bytes */
	__be16 tag_protocol; /* 0: there is none */
	__u8 out;
	__u8 entry; /* enum entry */
	__u8 data[SNAP_LENGTH];
};

struct name {
	char text[NAME_LENGTH];
};

/* XDP frames handed to an interface, as the kernel's tracepoint tells. */
struct xdp_sent {
	__u64 sent;
	__u64 lost;
};

/* What a sweep counts of a real server's live connections: to hold against server_load, and to add to its account. */
struct server_census {
	__u32 active;
	__u32 inactive;
	__u32 closed; /* of the inactive: over, and not forgotten yet */
	__u32 reserved;
	__u64 packets[DIRECTIONS];
	__u64 bytes[DIRECTIONS];
};

/* Argument of the sweep and of the move to the next table: a slice of the slots, and what was found in it: the
 * director hands in zeroes. */
struct slice {
	__u64 now_ns;
	__u32 first; /* slot; it and the count are of whole buckets */
	__u32 count;
	__u32 table;	     /* sweep: enum table_id */
	__u32 templates_too; /* sweep: 1 to sweep all templates as well */
	__u64 connections;   /* that stayed, or were moved */
	__u64 assured;
	__u64 expired;
	__u64 left;    /* move: changed meanwhile, and were left to the next pass */
	__u64 refused; /* move: found no room in the next table, and were left */
	__u64 overflowed;
	__u64 templates;
};

/* Argument of the repair program: what to add to live counters whose drift two sweeps have seen. */
struct repair {
	__u32 server;
	__s32 active;
	__s32 inactive;
	__u32 service;
	__s32 service_unassured;
	__s32 unassured;
	__s32 overflowed;
	__s32 live;
};
