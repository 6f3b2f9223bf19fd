/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inserting, so that CPUs which insert the same key at once leave one entry.
 *
 * An entry is published as pending. Whoever published looks through the key's buckets afterwards, so that of two at least
 * one sees the other. A live rival wins. Of two pending ones the one in the lower slot wins (the main table's are lower
 * than the next one's): the upper withdraws, or is struck out by the lower with a compare-and-swap on its word. Who is not
 * struck out when the look is over becomes live, by compare-and-swap on the same word.
 */
#pragma once

#include "life.h"

enum insertion { INSERTED, CONTENDED, TABLE_FULL };

/* Rivals that are struck out before it is given up: more than any machine's CPUs inserting one key at once. */
#define STRIKES 32

/* Make pending rivals above `mine` withdraw, in one table. 0 if there is one to withdraw for. */
__noinline int prevail_in(struct packet *p, __u32 rivals, __u32 which, __u32 mine)
{
	struct connection *rival;
	__u32 found;

	if (!p)
		return 0;
	for (int i = 0; i < STRIKES; i++) {
		found = look_everywhere(p, rivals, CONNECTION_LIVE | CONNECTION_PENDING,
					rivals == which ? mine : NO_SLOT);
		if (!found)
			return 1;
		if (WORD_FLAGS(p->word) & CONNECTION_LIVE || rivals < which || (rivals == which && found < mine))
			return 0;
		rival = connection_at(rivals, SLOT(found));
		if (rival)
			__sync_val_compare_and_swap(&rival->word, p->word, p->word & WORD_GENERATION);
	}
	return 0;
}

static __always_inline bool prevails(struct packet *p, __u32 which, __u32 mine)
{
	return prevail_in(p, TABLE_MAIN, which, mine) &&
	       (table_role == ROLE_ALONE || prevail_in(p, TABLE_NEXT, which, mine));
}

/* Write the entry of a slot that was claimed, all but the word; returns the word to publish. */
static __always_inline __u64 fill(struct connection *connection, const struct packet *p)
{
	__u32 state = state_after(p, STATE_NONE, REQUEST, 0);
	__u32 flags = p->choice.flags | (p->from_low ? CONNECTION_FROM_LOW : 0);

	connection->key = p->key;
	connection->forward_hop = p->choice.forward_hop;
	connection->last_hop = p->choice.last_hop;
	connection->service = p->choice.service;
	connection->server = p->choice.server;
	connection->persistence_prefix = p->choice.prefix;
	connection->last_seen_ns = p->now_ns;
	connection->created_ns = p->now_ns;
	connection->packets[REQUEST] = p->segments;
	connection->packets[RESPONSE] = 0;
	connection->bytes[REQUEST] = p->length;
	connection->bytes[RESPONSE] = 0;
	return ((connection->word & WORD_GENERATION) + NEXT_GENERATION) | WORD(flags, state);
}

/*
 * Publish the packet's connection in a slot that was claimed. CONTENDED: another CPU was first, and the slot is free again.
 */
__noinline __u32 publish(struct packet *p, __u32 which, __u32 mine)
{
	struct connection *connection = connection_at(which, SLOT(mine));
	__u64 word;

	if (!p || !connection)
		return TABLE_FULL;
	word = fill(connection, p);
	/* Counted before it can be found, so that nobody who retires it counts it below zero. */
	count_connection(p->choice.service, p->choice.server, word, 1);
	__sync_lock_test_and_set(&connection->word, word | WORD_PENDING);
	if (likely(prevails(p, which, mine)) &&
	    likely(__sync_val_compare_and_swap(&connection->word, word | WORD_PENDING, word | WORD_LIVE) ==
		   (word | WORD_PENDING))) {
		account_connection(p->choice.service, p->choice.server);
		return INSERTED;
	}
	__sync_lock_test_and_set(&connection->word, word & WORD_GENERATION);
	count_connection(p->choice.service, p->choice.server, word, -1);
	free_slot(which, SLOT(mine));
	return CONTENDED;
}

/* Remember the packet's connection as p->choice says. CONTENDED: another CPU was first, and its entry is the connection. */
static __always_inline enum insertion insert_connection(struct packet *p)
{
	__u32 which = table_role == ROLE_NEXT ? TABLE_NEXT : TABLE_MAIN, mine;
	struct claim claim = { .hash = p->hash, .now_ns = p->now_ns, .half = p->half };
	enum insertion insertion;

	if (unlikely(over_quota(p->choice.service))) {
		count(EVENT_QUOTA);
		return TABLE_FULL;
	}
	if (dry_run)
		return INSERTED;
	mine = claim_slot(&claim, which);
	if (unlikely(claim.overflow))
		p->choice.flags |= CONNECTION_OVERFLOW;
	insertion = mine ? publish(p, which, mine) : TABLE_FULL;
	if (unlikely(insertion != INSERTED))
		count(insertion == CONTENDED ? EVENT_CONTENDED : EVENT_TABLE_FULL);
	return insertion;
}
