/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * related = "address-pair": a connection goes to the box that has others of the same two addresses, whichever side opened
 * any (FTP's data, SIP's media). Of each pair some connections are noted; the oldest of those that live decides. A note that
 * leads to none any more is the place of the next.
 */
#pragma once

#include "candidate.h"
#include "hop.h"
#include "table.h"

#define PAIR_NOTED (1ULL << 40)
#define PAIR_AGE 41 /* its lowest bit; ages are compared as what they differ by */

static __always_inline void pair_key(struct pair_key *key, const struct packet *p)
{
	copy_address(key->low, p->key.low);
	copy_address(key->high, p->key.high);
	key->zone = p->key.zone;
}

/* What is noted of the addresses of a packet, or NULL. */
static __noinline struct pair *pair_of(const struct packet *p)
{
	struct pair_key key = {};

	pair_key(&key, p);
	return bpf_map_lookup_elem(&pairs, &key);
}

/* What a pair would note of a packet's connection, but for its age. */
static __always_inline __u64 own_note(const struct packet *p)
{
	return PAIR_NOTED | (__u64)p->key.ip_proto << 32 | (__u32)p->key.high_port << 16 | p->key.low_port;
}

static __always_inline void complete_key(struct packet *p, __u64 noted)
{
	p->key.low_port = (__be16)noted;
	p->key.high_port = (__be16)(noted >> 16);
	p->key.ip_proto = noted >> 32;
}

/* The hops of a connection that is noted for the addresses of a packet: forward << 16 | last, 0 if it lives no more. */
__noinline __u32 hops_of_noted(struct packet *p, __u64 noted)
{
	struct connection *connection;
	struct ruleset *ruleset;
	__u64 own;
	__u32 half;

	if (!p)
		return 0;
	own = own_note(p);
	complete_key(p, noted);
	connection = find_connection(p);
	complete_key(p, own);
	half = p->half;
	ruleset = bpf_map_lookup_elem(&rulesets, &half);
	if (!connection || !ruleset || expired(connection, ruleset, p->now_ns))
		return 0;
	return (__u32)READ_ONCE(connection->forward_hop) << 16 | READ_ONCE(connection->last_hop);
}

/* The hops of the oldest live connection that is noted for the addresses of a packet, or 0. */
static __always_inline __u32 hops_of_oldest(struct packet *p)
{
	struct pair *pair = pair_of(p);
	__u64 oldest = 0, noted;
	__u32 hops = 0, found;

	if (!pair)
		return 0;
	for (int i = 0; i < PAIR_CONNECTIONS; i++) {
		noted = READ_ONCE(pair->noted[i]);
		if (!noted || (oldest && (__s64)(noted - oldest) > 0))
			continue;
		found = hops_of_noted(p, noted);
		if (!found)
			continue;
		oldest = noted;
		hops = found;
	}
	return hops;
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
	__u32 hops = hops_of_oldest(p), server;

	p->hash = hash;
	if (!hops)
		return SERVER_NONE;
	server = server_of_box(p->half, p->choice.service, box_of_hop(hops >> 16));
	if (server == SERVER_NONE)
		server = server_of_box(p->half, p->choice.service, box_of_hop(hops & 0xffff));
	if (server == SERVER_NONE || !usable(server_by_id(p->half, server)))
		return SERVER_NONE;
	count(EVENT_RELATED);
	return server;
}

/* Note the packet's connection in its pair: where it was before, or where none is that lives. */
static __always_inline void note_in(struct pair *pair, struct packet *p)
{
	__u64 own = own_note(p), newest = 0, before = 0, noted;
	__u32 place = PAIR_CONNECTIONS;
	bool again = 0;

	for (__u32 i = 0; i < PAIR_CONNECTIONS; i++) {
		noted = READ_ONCE(pair->noted[i]);
		if (noted && (!newest || (__s64)(noted - newest) > 0))
			newest = noted;
		if (again)
			continue;
		again = noted << (64 - PAIR_AGE) == own << (64 - PAIR_AGE);
		if (again || (place == PAIR_CONNECTIONS && (!noted || !hops_of_noted(p, noted)))) {
			place = i;
			before = noted;
		}
	}
	if (place < PAIR_CONNECTIONS)
		__sync_val_compare_and_swap(&pair->noted[place & (PAIR_CONNECTIONS - 1)], before,
					    own | ((newest >> PAIR_AGE) + 1) << PAIR_AGE);
}

/* Note the packet's connection as the first of its pair. 0, or an error, as when another CPU was first. */
static __noinline long make_pair(const struct packet *p)
{
	struct pair fresh = { .noted = { own_note(p) } };
	struct pair_key key = {};

	pair_key(&key, p);
	return bpf_map_update_elem(&pairs, &key, &fresh, BPF_NOEXIST);
}

/* A connection was made: note it for its pair of addresses, unless all places are taken by others that live. */
static __noinline int note_pair(struct packet *p)
{
	struct pair *pair;

	if (dry_run)
		return 0;
	pair = pair_of(p);
	if (!pair && make_pair(p))
		pair = pair_of(p);
	if (pair)
		note_in(pair, p);
	return 0;
}
