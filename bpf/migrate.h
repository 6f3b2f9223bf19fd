/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Moving connections to the next table, under way.
 *
 * Packets look in the main table first. So a connection is copied, live, and then struck out in the main table by
 * compare-and-swap on the word the copy was made with; if that changed, the copy follows and it is tried again. Nobody
 * finds the copy before, nor the original afterwards.
 */
#pragma once

#include "sweep.h"

/* Changes of a connection's word that are followed before it is left to the next pass. */
#define MOVE_TRIES 8

enum movement { MOVED, LEFT, REFUSED, MOVEMENTS };

struct move_pass {
	struct ruleset *ruleset;
	__u64 now_ns;
	__u32 first;
	__u32 half;
	__u64 expired;
	__u64 outcomes[MOVEMENTS];
};

/* The parts of a connection that packets change beside its word. */
struct traffic {
	__u64 packets[DIRECTIONS];
	__u64 bytes[DIRECTIONS];
};

static __always_inline void read_traffic(struct traffic *traffic, const struct connection *connection)
{
	for (int i = 0; i < DIRECTIONS; i++) {
		traffic->packets[i] = READ_ONCE(connection->packets[i]);
		traffic->bytes[i] = READ_ONCE(connection->bytes[i]);
	}
}

/* Everything but the word. */
static __always_inline void copy_connection(struct connection *to, const struct connection *from,
					    const struct traffic *traffic)
{
	to->key = from->key;
	to->forward_hop = from->forward_hop;
	to->last_hop = READ_ONCE(from->last_hop);
	to->service = from->service;
	to->server = from->server;
	to->persistence_prefix = from->persistence_prefix;
	to->last_seen_ns = READ_ONCE(from->last_seen_ns);
	to->created_ns = from->created_ns;
	for (int i = 0; i < DIRECTIONS; i++) {
		to->packets[i] = traffic->packets[i];
		to->bytes[i] = traffic->bytes[i];
	}
}

/* What packets wrote into the original after it was read. Others may write into the copy already: add, do not set. */
static __always_inline void catch_up(struct connection *to, const struct connection *from, const struct traffic *copied)
{
	struct traffic traffic;

	read_traffic(&traffic, from);
	for (int i = 0; i < DIRECTIONS; i++) {
		__sync_fetch_and_add(&to->packets[i], traffic.packets[i] - copied->packets[i]);
		__sync_fetch_and_add(&to->bytes[i], traffic.bytes[i] - copied->bytes[i]);
	}
	if (READ_ONCE(from->last_seen_ns) > READ_ONCE(to->last_seen_ns))
		WRITE_ONCE(to->last_seen_ns, from->last_seen_ns);
}

/* Put an original out of use whose copy is live, at `to`: true, or false if it is not live any more. */
static __always_inline bool strike_out(struct connection *from, struct connection *to, __u64 word, __u64 copy)
{
	for (int i = 0; i < MOVE_TRIES; i++) {
		__u64 now;

		WRITE_ONCE(to->last_hop, READ_ONCE(from->last_hop));
		now = __sync_val_compare_and_swap(&from->word, word, word & WORD_GENERATION);
		if (now == word)
			return 1;
		if (!(WORD_FLAGS(now) & CONNECTION_LIVE))
			return 0;
		/* A packet of the original won: nobody has found the copy, which follows. */
		word = now;
		WRITE_ONCE(to->word, (copy & (WORD_GENERATION | WORD(CONNECTION_OVERFLOW, 0))) |
					     (now & ~(WORD_GENERATION | WORD(CONNECTION_OVERFLOW, 0))));
	}
	return 0;
}

/* Move one connection of the main table, whose word was `word`. */
__noinline int move_connection(__u32 slot, __u64 word, __u64 now_ns, __u32 half)
{
	struct claim claim = { .now_ns = now_ns, .half = half };
	struct connection *from = connection_at(TABLE_MAIN, slot), *to;
	struct table *shared = the_table();
	struct traffic copied;
	__u64 copy;
	__u32 mine;

	if (!from || !shared)
		return LEFT;
	claim.hash = hash_of(&from->key, shared->secret);
	mine = claim_slot(&claim, TABLE_NEXT);
	to = mine ? connection_at(TABLE_NEXT, SLOT(mine)) : NULL;
	if (!to)
		return REFUSED;
	read_traffic(&copied, from);
	copy_connection(to, from, &copied);
	copy = ((to->word & WORD_GENERATION) + NEXT_GENERATION) |
	       (word & ~(WORD_GENERATION | WORD(CONNECTION_OVERFLOW, 0))) |
	       WORD(claim.overflow ? CONNECTION_OVERFLOW : 0, 0);
	adjust_overflowed(WORD_FLAGS(copy), 1);
	__sync_lock_test_and_set(&to->word, copy);
	if (!strike_out(from, to, word, copy)) {
		__sync_lock_test_and_set(&to->word, copy & WORD_GENERATION);
		adjust_overflowed(WORD_FLAGS(copy), -1);
		free_slot(TABLE_NEXT, SLOT(mine));
		return LEFT;
	}
	catch_up(to, from, &copied);
	adjust_overflowed(WORD_FLAGS(word), -1);
	free_slot(TABLE_MAIN, slot);
	return MOVED;
}

static long move_slot(__u32 i, struct move_pass *pass)
{
	__u32 slot = pass->first + i, movement;
	struct connection *connection = connection_at(TABLE_MAIN, slot);
	__u64 word;

	if (!connection)
		return 1;
	word = READ_ONCE(connection->word);
	if (!(WORD_FLAGS(word) & CONNECTION_LIVE))
		return 0;
	if (idle_ns(connection, pass->now_ns) > timeout_of(pass->ruleset, WORD_STATE(word))) {
		pass->expired += expire(TABLE_MAIN, slot, word);
		return 0;
	}
	movement = move_connection(slot, word, pass->now_ns, pass->half);
	OPAQUE(movement);
	if (movement < MOVEMENTS)
		pass->outcomes[movement]++;
	return 0;
}

/* Returns 0, or 1 if there is nothing published to go by, or no next table. */
static __always_inline int move_slice(struct slice *request)
{
	struct move_pass pass = { .now_ns = request->now_ns, .first = request->first };

	pass.ruleset = published_ruleset(&pass.half);
	if (!pass.ruleset || table_role != ROLE_NEXT)
		return 1;
	bpf_loop(request->count, move_slot, &pass, 0);
	request->connections = pass.outcomes[MOVED];
	request->left = pass.outcomes[LEFT];
	request->refused = pass.outcomes[REFUSED];
	request->expired = pass.expired;
	return 0;
}
