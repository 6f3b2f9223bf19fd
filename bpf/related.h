/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * related = "address-pair": a connection goes to the box that has another one of the same two addresses, whichever side
 * opened either (FTP's data, SIP's media). What is noted of a pair is its oldest connection; who finds that one gone takes
 * its place.
 */
#pragma once

#include "candidate.h"
#include "hop.h"
#include "table.h"

static __always_inline void pair_key(struct pair_key *key, const struct packet *p)
{
	copy_address(key->low, p->key.low);
	copy_address(key->high, p->key.high);
	key->zone = p->key.zone;
}

/* What is noted of the addresses of a packet, in one number; 0: nothing. */
static __noinline __u64 noted_of_pair(const struct packet *p)
{
	struct pair_key key = {};
	const struct pair *pair;

	pair_key(&key, p);
	pair = bpf_map_lookup_elem(&pairs, &key);
	return pair ? 1ULL << 40 | (__u64)pair->ip_proto << 32 | (__u32)pair->high_port << 16 | pair->low_port : 0;
}

/* The live connection that is noted for the addresses of a packet, or NULL. Where it is goes into the packet. */
static __noinline struct connection *first_of_pair(struct packet *p)
{
	__u64 noted = noted_of_pair(p), own;
	struct connection *connection;
	struct ruleset *ruleset;
	__u32 half = p->half;

	if (!noted)
		return NULL;
	own = (__u64)p->key.ip_proto << 32 | (__u32)p->key.high_port << 16 | p->key.low_port;
	p->key.low_port = (__be16)noted;
	p->key.high_port = (__be16)(noted >> 16);
	p->key.ip_proto = noted >> 32;
	connection = find_connection(p);
	p->key.low_port = (__be16)own;
	p->key.high_port = (__be16)(own >> 16);
	p->key.ip_proto = own >> 32;
	ruleset = bpf_map_lookup_elem(&rulesets, &half);
	return connection && ruleset && !expired(connection, ruleset, p->now_ns) ? connection : NULL;
}

static __always_inline __u32 box_of_hop(__u32 id)
{
	struct hop *hop = hop_by_id(id);

	return hop ? hop->box : NO_BOX;
}

/* The usable real server of the packet's service that has its related connections, or SERVER_NONE. */
static __noinline __u32 related_server(struct packet *p)
{
	__u64 hash = p->hash;
	struct connection *connection = first_of_pair(p);
	__u32 server;

	p->hash = hash;
	if (!connection)
		return SERVER_NONE;
	server = server_of_box(p->half, p->choice.service, box_of_hop(READ_ONCE(connection->forward_hop)));
	if (server == SERVER_NONE)
		server = server_of_box(p->half, p->choice.service, box_of_hop(READ_ONCE(connection->last_hop)));
	if (server == SERVER_NONE || !usable(server_by_id(p->half, server)))
		return SERVER_NONE;
	count(EVENT_RELATED);
	return server;
}

/* A connection was made: note it for its pair of addresses, unless an older one lives. */
static __noinline int note_pair(struct packet *p)
{
	struct pair fresh = { .low_port = p->key.low_port, .high_port = p->key.high_port, .ip_proto = p->key.ip_proto };
	struct pair_key key = {};

	if (dry_run || first_of_pair(p))
		return 0;
	pair_key(&key, p);
	bpf_map_update_elem(&pairs, &key, &fresh, BPF_ANY);
	return 0;
}
