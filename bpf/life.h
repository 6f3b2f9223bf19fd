/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of a connection, wherever it is kept: its state and flags after a packet, and whether it has ended before one.
 *
 * A connection's word holds generation, flags and state, and changes by compare-and-swap only: of two CPUs that see the
 * same change one wins, and the winner moves the live counters. Whoever found an entry knows it again by its generation:
 * the next connection in the slot has another one, so that what was read between two readings of the same live word was
 * read from one connection.
 */
#pragma once

#include "replace.h"

/* A request-only conversation counts as assured after this many packets over this long. */
#define ASSURED_PACKETS 4
#define ASSURED_NS 4000000000ULL

/* Tries to change a word before another CPU's change is taken to be the newer truth. */
#define WORD_TRIES 4

/* Whether an entry that was found is the packet's connection still. */
static __always_inline bool still_there(const struct packet *p, __u64 word)
{
	return WORD_FLAGS(word) & CONNECTION_LIVE && !((word ^ p->word) & WORD_GENERATION);
}

static __always_inline __u32 state_after(const struct packet *p, __u32 state, enum direction direction, bool replied)
{
	if (p->ip_proto == IPPROTO_TCP)
		return next_tcp_state(state, p->signals, direction, replied);
	switch (p->ip_proto) {
	case IPPROTO_UDP:
		return STATE_UDP;
	case IPPROTO_SCTP:
		return next_sctp_state(state, p->signals, direction, replied);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return icmp_of(p->family, p->ip_proto) ? STATE_ICMP : STATE_OTHER;
	default:
		return STATE_OTHER;
	}
}

#define MAY_BE_ASSURED                                                                                                 \
	(1ULL << STATE_ESTABLISHED | 1ULL << STATE_SCTP_ESTABLISHED | 1ULL << STATE_UDP | 1ULL << STATE_ICMP |         \
	 1ULL << STATE_OTHER)

/* Both directions seen and, for TCP and SCTP, established; or one direction only, for a while. */
static __always_inline bool becomes_assured(const struct packet *p, const struct connection *connection, __u32 state,
					    bool replied)
{
	if (!(MAY_BE_ASSURED >> (state & 63) & 1))
		return 0;
	return replied ||
	       (connection->packets[REQUEST] >= ASSURED_PACKETS && p->now_ns > connection->created_ns + ASSURED_NS);
}

/* The template a connection was scheduled by has an assured one now. */
static __always_inline void assure_template(const struct connection *connection)
{
	struct template_key key = {};
	struct template *template;

	template_key(&key, connection->service,
		     WORD_FLAGS(connection->word) & CONNECTION_FROM_LOW ? connection->key.low : connection->key.high,
		     connection->persistence_prefix);
	template = bpf_map_lookup_elem(&templates, &key);
	if (template)
		__sync_fetch_and_or(&template->children, TEMPLATE_ASSURED);
}

/* A change of state or flags, for the CPU that won it. Not inlined: few packets change anything, and the stack is short. */
__noinline int count_change(struct connection *connection, __u32 service, __u32 server, __u64 before, __u64 after)
{
	if (!connection)
		return 0;
	if (state_active(WORD_STATE(before)) != state_active(WORD_STATE(after))) {
		adjust_load(service, server, WORD_STATE(after), 1);
		adjust_load(service, server, WORD_STATE(before), -1);
	}
	if ((WORD_FLAGS(before) ^ WORD_FLAGS(after)) & CONNECTION_ASSURED) {
		adjust_unassured(service, -1);
		if (WORD_FLAGS(after) & CONNECTION_PERSISTENT)
			assure_template(connection);
	}
	return 0;
}

/* State, flags, times and counts after a packet of a connection. */
static __always_inline void track(const struct packet *p, struct connection *connection, enum direction direction)
{
	if (dry_run)
		return;
	/* A later fragment says nothing of its connection's state. */
	for (int i = 0; i < WORD_TRIES && likely(p->fragment != FRAGMENT_LATER); i++) {
		__u64 word = READ_ONCE(connection->word), changed;
		__u32 flags = WORD_FLAGS(word), state = WORD_STATE(word), next, service, server;

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
		/* Read while the word vouches for them: after the swap the entry may be retired and another's. */
		service = READ_ONCE(connection->service);
		server = READ_ONCE(connection->server);
		if (__sync_val_compare_and_swap(&connection->word, word, changed) != word)
			continue;
		count_change(connection, service, server, word, changed);
		break;
	}
	if (connection->last_seen_ns != p->now_ns)
		connection->last_seen_ns = p->now_ns;
	__sync_fetch_and_add(&connection->packets[direction], p->segments);
	__sync_fetch_and_add(&connection->bytes[direction], p->length);
}

/* A SYN or INIT on a connection that is over is a new conversation on reused ports (LVS: conn_reuse_mode). */
static __always_inline bool reused(const struct packet *p, const struct ruleset *ruleset)
{
	__u32 state = WORD_STATE(p->word);

	if (likely(!p->opening) || (p->ip_proto != IPPROTO_TCP && p->ip_proto != IPPROTO_SCTP) ||
	    ruleset->flags & RULESET_NO_REUSE)
		return 0;
	return state == STATE_TIME_WAIT || state == STATE_CLOSE || state == STATE_SCTP_CLOSED ||
	       (state == STATE_FIN_WAIT &&
		(ruleset->flags & RULESET_REUSE_FIN || !(WORD_FLAGS(p->word) & CONNECTION_REPLIED)));
}

/* Whether the real server of a connection was removed from its service (LVS: expire_nodest_conn). */
static __always_inline bool server_gone(const struct packet *p, const struct connection *connection)
{
	__u32 id = READ_ONCE(connection->server), index = p->half * MAX_SERVERS + id;
	struct server *server;

	if (id == SERVER_NONE || READ_ONCE(connection->service) == SERVICE_NONE)
		return 0;
	server = bpf_map_lookup_elem(&servers, &index);
	return server && (server->flags & SERVER_RETIRED || server->box == NO_BOX);
}

/* Whether a connection that was found has ended before this packet, which then belongs to a new one. */
static __always_inline bool over(const struct packet *p, const struct connection *connection,
				 const struct ruleset *ruleset)
{
	return expired(connection, ruleset, p->now_ns) || reused(p, ruleset) ||
	       unlikely(ruleset->flags & RULESET_EXPIRE_GONE && server_gone(p, connection));
}
