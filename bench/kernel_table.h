/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stands in for bpf/table.h in the bench's baselines: the same object, with its connections in one of the kernel's own
 * hash maps. bench/installed.py fills in the kind of map and its size. Everything a packet does beside finding and
 * storing its connection is as in bpf/table.h: states, live counters, quotas, times, counts.
 */
#pragma once

#include "replace.h"

struct {
	__uint(type, BENCH_MAP_TYPE);
	__type(key, struct connection_key);
	__type(value, struct connection);
	__uint(max_entries, BENCH_CONNECTIONS);
} connections SEC(".maps");

#define ASSURED_PACKETS 4
#define ASSURED_NS 4000000000ULL
#define WORD_TRIES 4

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

static __always_inline bool still_there(const struct packet *p, __u64 word)
{
	return WORD_FLAGS(word) & CONNECTION_LIVE && !((word ^ p->word) & WORD_GENERATION);
}

static __always_inline bool retire_found(const struct packet *p)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &p->key);
	__u64 word = p->word;

	if (!connection || __sync_val_compare_and_swap(&connection->word, word, word & WORD_GENERATION) != word)
		return 0;
	count_connection(connection->service, connection->server, word, -1);
	bpf_map_delete_elem(&connections, &p->key);
	return 1;
}

static __always_inline __u32 state_after(const struct packet *p, __u32 state, enum direction direction, bool replied)
{
	if (p->ip_proto == IPPROTO_TCP)
		return next_tcp_state(state, p->signals, direction, replied);
	return p->ip_proto == IPPROTO_UDP ? STATE_UDP : STATE_ICMP;
}

static __always_inline bool becomes_assured(const struct packet *p, const struct connection *connection, __u32 state,
					    bool replied)
{
	if (p->ip_proto == IPPROTO_TCP && state != STATE_ESTABLISHED)
		return 0;
	return replied ||
	       (connection->packets[REQUEST] >= ASSURED_PACKETS && p->now_ns > connection->created_ns + ASSURED_NS);
}

static __always_inline void track(const struct packet *p, struct connection *connection, enum direction direction)
{
	for (int i = 0; i < WORD_TRIES; i++) {
		__u64 word = READ_ONCE(connection->word), changed;
		__u32 flags = WORD_FLAGS(word), state = WORD_STATE(word), next;

		if (!still_there(p, word))
			return;
		if (direction == RESPONSE)
			flags |= CONNECTION_REPLIED;
		next = state_after(p, state, direction, flags & CONNECTION_REPLIED);
		if (!(flags & CONNECTION_ASSURED) && becomes_assured(p, connection, next, flags & CONNECTION_REPLIED))
			flags |= CONNECTION_ASSURED;
		changed = (word & WORD_GENERATION) | WORD(flags, next);
		if (likely(changed == word))
			break;
		if (__sync_val_compare_and_swap(&connection->word, word, changed) != word)
			continue;
		if (state_active(state) != state_active(next)) {
			adjust_load(connection->service, connection->server, next, 1);
			adjust_load(connection->service, connection->server, state, -1);
		}
		if ((WORD_FLAGS(word) ^ flags) & CONNECTION_ASSURED)
			adjust_unassured(connection->service, -1);
		break;
	}
	if (connection->last_seen_ns != p->now_ns)
		connection->last_seen_ns = p->now_ns;
	__sync_fetch_and_add(&connection->packets[direction], p->segments);
	__sync_fetch_and_add(&connection->bytes[direction], p->length);
}

static __always_inline bool over(const struct packet *p, const struct connection *connection,
				 const struct ruleset *ruleset)
{
	__u32 state = WORD_STATE(p->word);

	return expired(connection, ruleset, p->now_ns) ||
	       (p->ip_proto == IPPROTO_TCP && p->opening && (state == STATE_TIME_WAIT || state == STATE_CLOSE));
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
	if (likely(!error))
		return INSERTED;
	count_connection(fresh.service, fresh.server, fresh.word, -1);
	count(error == -EEXIST ? EVENT_CONTENDED : EVENT_TABLE_FULL);
	return error == -EEXIST ? CONTENDED : TABLE_FULL;
}
