/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stands in for bpf/table.h in the bench's baselines: the same object, with its connections in one of the kernel's own
 * hash maps. bench/installed.py fills in the kind of map and its size. Everything a packet does beside finding and
 * storing its connection is the product's own: states, live counters, quotas, times, counts.
 */
#pragma once

#include "life.h"

struct {
	__uint(type, BENCH_MAP_TYPE);
	__type(key, struct connection_key);
	__type(value, struct connection);
	__uint(max_entries, BENCH_CONNECTIONS);
} connections SEC(".maps");

enum insertion { INSERTED, CONTENDED, TABLE_FULL };

/* In place of a generation: memory that was given back may be another connection's at once. */
static __always_inline __u64 fingerprint(const struct connection_key *key)
{
	const __u64 *words = (const __u64 *)key;
	__u64 hash = 0;

	for (int i = 0; i < (int)(sizeof(*key) / sizeof(*words)); i++)
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
	return hash & WORD_GENERATION;
}

static __always_inline struct connection *find_connection(struct packet *p)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &p->key);

	p->hash = fingerprint(&p->key);
	if (!connection)
		return NULL;
	p->word = READ_ONCE(connection->word);
	return WORD_FLAGS(p->word) & CONNECTION_LIVE && (p->word & WORD_GENERATION) == p->hash ? connection : NULL;
}

static __always_inline struct connection *await_connection(struct packet *p)
{
	return find_connection(p);
}

static __always_inline bool retire_found(const struct packet *p)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &p->key);
	__u64 word = p->word;

	if (!connection || __sync_val_compare_and_swap(&connection->word, word, word & WORD_GENERATION) != word)
		return 0;
	count_connection(connection->service, connection->server, word, -1);
	account_ended(connection);
	bpf_map_delete_elem(&connections, &p->key);
	return 1;
}

__noinline __u32 insert_connection(struct packet *p)
{
	struct connection fresh = {};
	int error;

	if (!p)
		return TABLE_FULL;
	if (over_quota(p->choice.service)) {
		count(EVENT_QUOTA);
		return TABLE_FULL;
	}
	fresh.word = p->hash | WORD(CONNECTION_LIVE | p->choice.flags | (p->from_low ? CONNECTION_FROM_LOW : 0),
				    state_after(p, STATE_NONE, REQUEST, 0));
	fresh.key = p->key;
	fresh.forward_hop = p->choice.forward_hop;
	fresh.last_hop = p->choice.last_hop;
	fresh.service = p->choice.service;
	fresh.server = p->choice.server;
	fresh.persistence_prefix = p->choice.prefix;
	fresh.last_seen_ns = p->now_ns;
	fresh.created_ns = p->now_ns;
	fresh.packets[REQUEST] = p->segments;
	fresh.bytes[REQUEST] = p->length;
	count_connection(fresh.service, fresh.server, fresh.word, 1);
	error = bpf_map_update_elem(&connections, &fresh.key, &fresh, BPF_NOEXIST);
	if (likely(!error)) {
		account_connection(fresh.service, fresh.server);
		return INSERTED;
	}
	count_connection(fresh.service, fresh.server, fresh.word, -1);
	count(error == -EEXIST ? EVENT_CONTENDED : EVENT_TABLE_FULL);
	return error == -EEXIST ? CONTENDED : TABLE_FULL;
}
