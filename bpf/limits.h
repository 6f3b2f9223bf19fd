/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Limits, and the numbers that structs are made of. Part of abi.h. */
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
	NETWORKS_A_SWEEP = 4, /* of the director's own that a sweep looks for */
	FALLBACK_SLOTS = 1021,
	HASH_BITS = 8,	  /* of a slot of the schedulers sh and dh */
	LOCALITY_SET = 8, /* servers of a destination, with lblcr; a power of two */
	MAX_LOCALITIES = 65536,
	MAX_FRAGMENTS = 65536, /* datagrams of which a fragment came in the last 30 s */
	MAX_PAIRS = 131072,    /* of addresses, with related = "address-pair" */
	PAIR_CONNECTIONS = 8,  /* of a pair that are noted at once; a power of two */
	MAX_NEIGHBOURS = 65536,
	MAX_TAGS = 2,	    /* VLAN tags of a frame */
	SAMPLES = 64,	    /* asymmetric responses that are remembered */
	SNAP_LENGTH = 2048, /* bytes of a frame that are captured; a power of two */
	WAYS = 16,	    /* of a bucket of the connection table */
	PROBE_NONCE = 16,   /* bytes that only the sender of a path probe knows */
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

/* How far a program that takes over is (takeover.h). */
enum takeover_phase {
	TAKEOVER_NONE,
	TAKEOVER_KNOWN, /* it forwards the connections it knows, and leaves the rest to the former program */
	TAKEOVER_NEW,	/* it opens connections too */
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
