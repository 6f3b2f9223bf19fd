/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connection table: find, insert, track, retire. Nothing else touches `connections`.
 *
 * A connection's word holds flags and state and changes by compare-and-swap only, so of two CPUs
 * that see the same change one wins, and the winner moves the live counters. A retired entry keeps
 * its dead word until it is deleted by whoever retired it. Its memory may then be another
 * connection's at once, while a third CPU still holds a pointer: the word also holds a fingerprint
 * of the key, so that a successor is not taken for the connection that was found.
 */
#pragma once

#include "count.h"
#include "persistence.h"
#include "tcp_state.h"

#define WORD_STATE(word) ((__u32)(word) & 0xff)
#define WORD_FLAGS(word) ((__u32)((word) >> 8) & 0xffff)
#define WORD_FINGERPRINT(word) ((__u32)((word) >> 32))
#define WORD(fingerprint, flags, state) ((__u64)(fingerprint) << 32 | (__u64)(flags) << 8 | (state))

/* A request-only conversation counts as assured after this many packets over this long. */
#define ASSURED_PACKETS 4
#define ASSURED_NS 4000000000ULL

/* Tries to change a word before another CPU's change is taken to be the newer truth. */
#define WORD_TRIES 4

static __always_inline struct server_load *load_of(__u32 server)
{
	return bpf_map_lookup_elem(&server_loads, &server);
}

/* Move the live counters of a server by one connection. */
static __always_inline void adjust_load(__u32 service, __u32 server, __u32 state, int by)
{
	struct server_load *load;

	if (service == SERVICE_NONE)
		return;
	load = load_of(server);
	if (!load)
		return;
	if (state_active(state))
		__sync_fetch_and_add(&load->active, by);
	else
		__sync_fetch_and_add(&load->inactive, by);
}

static __always_inline __u64 timeout_of(const struct ruleset *ruleset, __u32 state)
{
	return state < STATE_COUNT ? ruleset->timeout_ns[state] : 0;
}

static __always_inline bool expired(const struct connection *connection, const struct ruleset *ruleset, __u64 now_ns)
{
	__u64 last_seen_ns = READ_ONCE(connection->last_seen_ns);

	/* Another CPU may have stamped it a tick later than our clock reading. */
	return now_ns > last_seen_ns &&
	       now_ns - last_seen_ns > timeout_of(ruleset, WORD_STATE(READ_ONCE(connection->word)));
}

static __always_inline __u32 fingerprint(const struct connection_key *key)
{
	const __u64 *words = (const __u64 *)key;
	__u64 hash = 0;

	for (int i = 0; i < (int)(sizeof(*key) / sizeof(*words)); i++)
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
	return (__u32)(hash >> 32);
}

/* Take a connection out. True for the one caller that did; it must not touch the entry afterwards. */
static __always_inline bool retire(const struct connection_key *key, struct connection *connection)
{
	__u64 word = READ_ONCE(connection->word);
	__u32 flags = WORD_FLAGS(word);

	if (flags & CONNECTION_DEAD || WORD_FINGERPRINT(word) != fingerprint(key) ||
	    __sync_val_compare_and_swap(&connection->word, word, word | WORD(0, CONNECTION_DEAD, 0)) != word)
		return 0;
	adjust_load(connection->service, connection->server, WORD_STATE(word), -1);
	if (flags & CONNECTION_PERSISTENT)
		leave_template(key, connection, flags & CONNECTION_FROM_LOW);
	bpf_map_delete_elem(&connections, key);
	return 1;
}

/* Whether an entry that was found is the packet's connection still. */
static __always_inline bool still_there(const struct packet *p, const struct connection *connection)
{
	__u64 word = READ_ONCE(connection->word);

	return WORD_FINGERPRINT(word) == p->fingerprint && !(WORD_FLAGS(word) & CONNECTION_DEAD);
}

/* The connection of a key, expired or not, or NULL. */
static __always_inline struct connection *find_connection(struct packet *p)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, &p->key);

	p->fingerprint = fingerprint(&p->key);
	return connection && still_there(p, connection) ? connection : NULL;
}

static __always_inline __u32 state_after(const struct packet *p, __u32 state, enum direction direction, bool replied)
{
	if (p->ip_proto == IPPROTO_TCP)
		return next_tcp_state(state, p->tcp_flags, direction, replied);
	return p->ip_proto == IPPROTO_UDP ? STATE_UDP : STATE_ICMP;
}

/* Both directions seen and, for TCP, established; or one direction only, for a while. */
static __always_inline bool becomes_assured(const struct packet *p, const struct connection *connection, __u32 state,
					    bool replied)
{
	if (p->ip_proto == IPPROTO_TCP && state != STATE_ESTABLISHED)
		return 0;
	return replied ||
	       (connection->packets[REQUEST] >= ASSURED_PACKETS && p->now_ns > connection->created_ns + ASSURED_NS);
}

/* State, flags, times and counts after a packet of a connection. */
static __always_inline void track(const struct packet *p, struct connection *connection, enum direction direction)
{
	for (int i = 0; i < WORD_TRIES; i++) {
		__u64 word = READ_ONCE(connection->word);
		__u32 flags = WORD_FLAGS(word), state = WORD_STATE(word), next, service, server;
		__u64 changed;

		if (flags & CONNECTION_DEAD || WORD_FINGERPRINT(word) != p->fingerprint)
			return;
		if (direction == RESPONSE)
			flags |= CONNECTION_REPLIED;
		next = state_after(p, state, direction, flags & CONNECTION_REPLIED);
		if (!(flags & CONNECTION_ASSURED) && becomes_assured(p, connection, next, flags & CONNECTION_REPLIED))
			flags |= CONNECTION_ASSURED;
		changed = (word & ~0xffffffffULL) | WORD(0, flags, next);
		if (changed == word)
			break;
		/* Read while the word vouches for them: after the swap the entry may be retired and another's. */
		service = READ_ONCE(connection->service);
		server = READ_ONCE(connection->server);
		if (__sync_val_compare_and_swap(&connection->word, word, changed) != word)
			continue;
		if (state_active(state) != state_active(next)) {
			adjust_load(service, server, next, 1);
			adjust_load(service, server, state, -1);
		}
		break;
	}
	if (connection->last_seen_ns != p->now_ns)
		connection->last_seen_ns = p->now_ns;
	__sync_fetch_and_add(&connection->packets[direction], p->segments);
	__sync_fetch_and_add(&connection->bytes[direction], p->length);
}

/* A SYN on a connection that is over is a new conversation on reused ports (LVS: conn_reuse_mode). */
static __always_inline bool reused(const struct packet *p, const struct connection *connection)
{
	__u64 word = READ_ONCE(connection->word);
	__u32 state = WORD_STATE(word);

	if (p->ip_proto != IPPROTO_TCP || !p->opening)
		return 0;
	return state == STATE_TIME_WAIT || state == STATE_CLOSE ||
	       (state == STATE_FIN_WAIT && !(WORD_FLAGS(word) & CONNECTION_REPLIED));
}

/* Whether a connection that was found has ended before this packet, which then belongs to a new one. */
static __always_inline bool over(const struct packet *p, const struct connection *connection,
				 const struct ruleset *ruleset)
{
	return expired(connection, ruleset, p->now_ns) || reused(p, connection);
}

enum insertion { INSERTED, CONTENDED, TABLE_FULL };

/*
 * Remember a new connection. `fresh` comes with service, server and hops, `flags` says whether it
 * is the child of a template. CONTENDED: another CPU was first, and its entry is the connection.
 */
static __always_inline enum insertion insert_connection(const struct packet *p, struct connection *fresh, __u32 flags)
{
	__u32 state = state_after(p, STATE_NONE, REQUEST, 0);
	int error;

	if (p->from_low)
		flags |= CONNECTION_FROM_LOW;
	fresh->word = WORD(p->fingerprint, flags, state);
	fresh->last_seen_ns = p->now_ns;
	fresh->created_ns = p->now_ns;
	fresh->packets[REQUEST] = p->segments;
	fresh->bytes[REQUEST] = p->length;
	/* Counted before it can be found, so that nobody who retires it counts it below zero. */
	adjust_load(fresh->service, fresh->server, state, 1);
	error = bpf_map_update_elem(&connections, &p->key, fresh, BPF_NOEXIST);
	if (likely(!error))
		return INSERTED;
	adjust_load(fresh->service, fresh->server, state, -1);
	count(error == -EEXIST ? EVENT_CONTENDED : EVENT_TABLE_FULL);
	return error == -EEXIST ? CONTENDED : TABLE_FULL;
}
