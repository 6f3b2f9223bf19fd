/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything the kernel side shares with Python: limits, enums, structs. No logic.
 *
 * Python builds its numpy dtypes and enums from the BTF of the object made from this file, so a
 * name here is the name there. Addresses are in network order, IPv4 as ::ffff:a.b.c.d; times are
 * nanoseconds of CLOCK_MONOTONIC_COARSE.
 */
#pragma once

#include "kernel.h"

enum limits {
	ABI_VERSION = 1, /* of everything pinned; a director takes over only its own */
	MAX_LEGS = 64,
	MAX_RULES = 4096,
	MAX_SERVICES = 1024,
	MAX_SERVERS = 8192,
	MAX_BOXES = 8192,
	MAX_HOPS = 65536,
	/* Hop ids from here on are the director's to give; packets learn below. */
	FIRST_DIRECTOR_HOP = MAX_HOPS - MAX_SERVERS,
	MAX_LISTED = 16384,
	MAX_TEMPLATES = 1048576,
	MAX_OWN_MACS = 4096,
	MAX_LOCAL = 65536,
	FALLBACK_SLOTS = 1021,
	NAME_LENGTH = 64,
};

/* The two halves of everything that is published: packets read one, Python builds the other. */
enum half_count { HALVES = 2 };

/* State of a connection; the first eleven are IP_VS_TCP_S_* in the kernel's order. */
enum state {
	STATE_NONE,
	STATE_ESTABLISHED,
	STATE_SYN_SENT,
	STATE_SYN_RECV,
	STATE_FIN_WAIT,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN,
	STATE_SYNACK,
	STATE_UDP,
	STATE_ICMP,
	STATE_COUNT,
};

enum direction { REQUEST, RESPONSE, DIRECTIONS };

/* Flags of a connection, in its word. */
enum connection_flag {
	CONNECTION_DEAD = 1,	    /* retired: whoever finds it treats it as absent */
	CONNECTION_FROM_LOW = 2,    /* the originator is the key's lower endpoint */
	CONNECTION_REPLIED = 4,	    /* a response was seen (LVS: NOOUTPUT cleared) */
	CONNECTION_ASSURED = 8,	    /* both directions seen; TCP: and ESTABLISHED reached */
	CONNECTION_PERSISTENT = 16, /* counted as a child of a persistence template */
};

enum choice { BY_TURN, BY_LOAD_WLC };

enum leg_flag {
	LEG_XDP_TRANSMIT = 1, /* XDP frames may leave through it: proved by a test frame */
	LEG_UP = 2,
	LEG_MORE_MACS = 4, /* own_macs has addresses beside the leg's own */
};

enum service_flag {
	SERVICE_EMPTY_TO_KERNEL = 1,
	SERVICE_XDP = 2,     /* every leg of its real servers transmits XDP frames */
	SERVICE_RETIRED = 4, /* out of the configuration, kept for its live connections */
};

enum server_flag {
	SERVER_USABLE = 1,
	SERVER_RETIRED = 2,
};

/* Rule fields that mean "any", and the service of a pass rule. */
enum rule_value {
	ANY_LEG = 0xffff,
	ANY_DSCP = 0xff,
	ANY_PROTOCOL = 0,
	NO_BOX = 0,
	ANY_BOX = 0xffff,
};

enum service_id { SERVICE_NONE = 0xffff };
enum server_id { SERVER_NONE = 0xffff };

/*
 * Why a packet left the data plane the way it did. The order of the groups is the verdict:
 * forwarded, then to the kernel, then dropped. Python's sentences are keyed by these names.
 */
enum reason {
	FORWARDED_REQUEST,
	FORWARDED_RESPONSE,
	FORWARDED_OPENING,
	FORWARDED_MIDSTREAM,
	FORWARDED_RELATED,
	FORWARDED_STRAY,
	FORWARDED_UNTRACKED,
	KERNEL_FIRST, /* not a reason: the kernel group starts here */
	KERNEL_TC,
	KERNEL_NOT_IP,
	KERNEL_TRUNCATED,
	KERNEL_BAD_HEADER,
	KERNEL_VLAN,
	KERNEL_IPV6,
	KERNEL_NO_LEG,
	KERNEL_MULTICAST,
	KERNEL_FOREIGN_MAC,
	KERNEL_OWN_SOURCE,
	KERNEL_MARTIAN,
	KERNEL_FRAGMENT,
	KERNEL_PROTOCOL,
	KERNEL_PASS_RULE,
	KERNEL_LOCAL,
	KERNEL_NO_RULE,
	KERNEL_EMPTY,
	KERNEL_TOO_BIG,
	DROP_FIRST, /* not a reason: the drop group starts here */
	DROP_EMPTY,
	DROP_LOOP,
	DROP_NO_HOP,
	DROP_LEG_DOWN,
	DROP_CONTENDED,
	EVENT_FIRST, /* not a reason: what follows is counted beside a verdict */
	EVENT_TABLE_FULL,
	EVENT_HOPS_FULL,
	EVENT_TEMPLATES_FULL,
	EVENT_CONTENDED,
	EVENT_HOP_LEARNED,
	EVENT_LAST_HOP_MOVED,
	EVENT_HOP_MOVE_DENIED,
	EVENT_ASYMMETRIC,
	EVENT_EXPIRED,
	EVENT_REUSED,
	EVENT_XDP_REDIRECT_ERROR,
	REASONS,
};

struct counters {
	__u64 value[REASONS];
};

/* An attached interface. `zone` is part of every connection's key. */
struct leg {
	__u32 ifindex; /* 0: the slot is free */
	__u32 mtu;
	__u8 mac[ETH_ALEN];
	__u16 zone;
	__u32 flags;
	__u32 hops_learned;
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
	__u32 box; /* id of the real server's name, or NO_BOX */
	__u32 moved;
	__u8 address[16]; /* the neighbour's, ::ffff:a.b.c.d for IPv4; zero if not known */
};

struct service {
	__u32 mark;
	__u16 choice;
	__u16 flags;
	__u16 first_server; /* in `listed`: the service's servers in file order */
	__u16 server_count;
	__u16 first_turn; /* in `listed`: the slots of BY_TURN */
	__u16 turn_count;
	__u16 fallback_count; /* FALLBACK_SLOTS, or 0 when no server is usable */
	__u16 persistence_prefix;
	__u32 mtu;	      /* the smallest of its real servers' legs: nothing larger is scheduled */
	__u64 persistence_ns; /* 0: no persistence */
};

struct service_load {
	__u64 turn;
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
	__u32 inactive;
	__u32 persistent;
	__u32 reserved;
};

/* Rendezvous: the id of the server for each slot of the unordered address pair's hash. */
struct fallback {
	__u16 server[FALLBACK_SLOTS + 3];
};

struct rule {
	__be32 source;
	__be32 source_mask;
	__be32 destination;
	__be32 destination_mask;
	__u16 source_port_first;
	__u16 source_port_last;
	__u16 destination_port_first;
	__u16 destination_port_last;
	__u16 service; /* SERVICE_NONE: pass rule */
	__u16 leg;
	__u16 box;
	__u8 ip_proto;
	__u8 dscp;
};

struct ruleset {
	__u32 pass_count; /* the first rules are pass rules */
	__u32 rule_count;
	__u64 timeout_ns[STATE_COUNT];
};

struct live {
	__u32 half;
	__u32 next_hop; /* ids below it were given out to packets; 0 is never given */
	__u32 abi_version;
	__u32 netns; /* inode number of the network namespace the legs are in */
};

struct local_key {
	__u32 prefix_length;
	__u8 address[16];
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

struct connection {
	__u64 word; /* fingerprint of the key << 32 | flags << 8 | state: changed by compare-and-swap only */
	__u32 forward_hop;
	__u32 last_hop;
	__u16 service; /* SERVICE_NONE: for the real server's own address */
	__u16 server;
	__u8 persistence_prefix;
	__u8 reserved[3];
	__u64 last_seen_ns;
	__u64 created_ns;
	__u64 packets[DIRECTIONS];
	__u64 bytes[DIRECTIONS];
};

struct template_key {
	__u8 client[16]; /* masked */
	__u32 service;
};

struct template {
	__u64 expires_ns;
	__u32 server; /* changed by compare-and-swap; SERVER_NONE: retired */
	__u32 children;
};

struct name {
	char text[NAME_LENGTH];
};

/* XDP frames handed to an interface, as the kernel's tracepoint tells. */
struct xdp_sent {
	__u64 sent;
	__u64 lost;
};

/* Argument of the sweep program. */
struct sweep {
	__u64 now_ns;
	__u64 idle_limit_ns; /* forget connections idle for longer whatever their state; 0: no limit */
	__u64 connections;
	__u64 assured;
	__u64 expired;
	__u64 templates;
};
