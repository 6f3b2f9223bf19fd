/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What programs tell the director: of one frame, of captured ones, of a sweep. Part of abi.h. */
#pragma once

#include "tracked.h"

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
	__u32 rule;	      /* position + 1 of the one that matched, in the live half */
	__u16 retired_server; /* 1 + that of the connection that the packet takes out of the counted ones */
	__u8 retired_active;  /* 1: it was counted as active */
	__u8 retired_reserved;
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

/* A path probe that came back. */
struct probe_answer {
	__u64 source_target; /* leg and MAC address it came from */
	__u8 nonce[PROBE_NONCE];
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

struct network {
	__u64 address[2];
	__u64 mask[2];
};

/* Argument of the sweep and of the move to the next table: a slice of the slots, and what was found in it: the
 * director hands in zeroes. */
struct slice {
	__u64 now_ns;
	__u32 first; /* slot; it and the count are of whole buckets */
	__u32 count;
	__u32 table;	     /* sweep: enum table_id */
	__u32 templates_too; /* sweep: 1 to sweep all templates as well */
	__u32 network_count; /* sweep: what goes to these networks is forgotten */
	__u32 reserved;
	struct network networks[NETWORKS_A_SWEEP];
	__u64 connections; /* that stayed, or were moved */
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
