/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A slot for a new connection. The first bucket is preferred while it has room to spare, so that most look-ups end there;
 * then the emptier of two. When both are full: what has expired in them goes; else a third and fourth bucket are tried;
 * else the least worth keeping of all four goes: expired, then unassured, the longest idle first, and last what is assured
 * but idle for longer than LVS would have kept it. An active connection never goes.
 */
#pragma once

#include "retire.h"

/* Free ways of the first bucket below which the second is considered. */
#define ROOM_TO_SPARE 4

/* What makes an entry replaceable, the best reason highest. Below it idle time counts, in RANK_SHIFT bits of ns. */
enum rank { RANK_NONE, RANK_ASSURED, RANK_UNASSURED, RANK_EXPIRED };
#define RANK_SHIFT 60

static __always_inline __u64 timeout_of(const struct ruleset *ruleset, __u32 state)
{
	OPAQUE(state);
	return state < STATE_COUNT ? ruleset->timeout_ns[state] : 0;
}

/* Nanoseconds since the last packet. Another CPU may have stamped it a tick later than our clock reading. */
static __always_inline __u64 idle_ns(const struct connection *connection, __u64 now_ns)
{
	__u64 last_seen_ns = READ_ONCE(connection->last_seen_ns);

	return now_ns > last_seen_ns ? now_ns - last_seen_ns : 0;
}

static __always_inline bool expired(const struct connection *connection, const struct ruleset *ruleset, __u64 now_ns)
{
	return idle_ns(connection, now_ns) > timeout_of(ruleset, WORD_STATE(READ_ONCE(connection->word)));
}

/* What a slot is wanted for. */
struct claim {
	__u64 hash;
	__u64 now_ns;
	__u32 half;
	__u32 overflow; /* result: 1 if the slot is to be counted as overflowed */
};

struct victim {
	__u64 now_ns;
	__u64 score; /* rank << RANK_SHIFT | idle time */
	__u64 word;
	__u32 half;
	__u32 which;
	__u32 index; /* of the bucket that is looked through */
	__u32 found; /* reference to the slot of the highest score */
};

static long weigh(__u32 way, struct victim *victim)
{
	__u32 slot = victim->index * WAYS + way, half = victim->half;
	struct connection *connection = connection_at(victim->which, slot);
	struct ruleset *ruleset = bpf_map_lookup_elem(&rulesets, &half);
	__u64 word, idle, score = 0;

	if (!connection || !ruleset)
		return 1;
	word = READ_ONCE(connection->word);
	if (!(WORD_FLAGS(word) & CONNECTION_LIVE))
		return 0;
	idle = idle_ns(connection, victim->now_ns);
	if (idle > timeout_of(ruleset, WORD_STATE(word)))
		score = (__u64)RANK_EXPIRED << RANK_SHIFT;
	else if (!(WORD_FLAGS(word) & CONNECTION_ASSURED))
		score = (__u64)RANK_UNASSURED << RANK_SHIFT;
	else if (idle > ruleset->replace_idle_ns)
		score = (__u64)RANK_ASSURED << RANK_SHIFT;
	if (score && score + idle > victim->score) {
		victim->score = score + idle;
		victim->word = word;
		victim->found = slot + 1;
	}
	return 0;
}

/* The entry most worth replacing in the key's buckets from choice `first` on: two of them. 1 if it has expired. */
static __always_inline bool look_for_victim(struct victim *victim, __u64 hash, __u32 first)
{
	for (__u32 choice = first; choice < first + NEAR_CHOICES; choice++) {
		victim->index = bucket_of(victim->which, hash, choice);
		bpf_loop(WAYS, weigh, victim, 0);
	}
	return victim->score >> RANK_SHIFT == RANK_EXPIRED;
}

/* Replace the entry that was found. A reference to its slot, now the caller's, or NO_SLOT if it changed meanwhile. */
static __always_inline __u32 take_over(const struct victim *victim, __u32 tag)
{
	__u32 slot = SLOT(victim->found);
	struct bucket *bucket = bucket_at(victim->which, slot / WAYS);

	if (!victim->found || !bucket || !retire(victim->which, slot, victim->word))
		return NO_SLOT;
	count(victim->score >> RANK_SHIFT == RANK_EXPIRED ? EVENT_EXPIRED : EVENT_REPLACED);
	WRITE_ONCE(bucket->tag[slot % WAYS], tag);
	return victim->found;
}

/* Take a free way of a bucket if it has at least so many, the preferred one if it can: a reference, or NO_SLOT. */
__noinline __u32 claim_in(__u32 which, __u32 index, __u64 hash, __u32 at_least)
{
	struct bucket *bucket = bucket_at(which, index);
	__u32 ways, way, preferred = 1 << preferred_way(hash);

	if (!bucket)
		return NO_SLOT;
	ways = ways_with(bucket, 0);
	if (how_many(ways) < at_least)
		return NO_SLOT;
	for (int i = 0; i < WAYS && ways; i++) {
		way = lowest_way(ways & preferred ? preferred : ways);
		ways &= ~(1 << way);
		if (!__sync_val_compare_and_swap(&bucket->tag[way], 0, tag_of(hash)))
			return index * WAYS + way + 1;
	}
	return NO_SLOT;
}

__noinline __u32 free_ways(__u32 which, __u32 index)
{
	struct bucket *bucket = bucket_at(which, index);

	return bucket ? how_many(ways_with(bucket, 0)) : 0;
}

/* A slot although the first two buckets are full, or NO_SLOT. */
__noinline __u32 make_room(struct claim *claim, __u32 which)
{
	struct victim victim = { .which = which };
	__u32 found, index;

	if (!claim)
		return NO_SLOT;
	victim.now_ns = claim->now_ns;
	victim.half = claim->half;
	if (look_for_victim(&victim, claim->hash, 0)) {
		found = take_over(&victim, tag_of(claim->hash));
		if (found)
			return found;
	}
	found = claim_in(which, bucket_of(which, claim->hash, 2), claim->hash, 1);
	if (!found)
		found = claim_in(which, bucket_of(which, claim->hash, 3), claim->hash, 1);
	if (!found) {
		look_for_victim(&victim, claim->hash, NEAR_CHOICES);
		found = take_over(&victim, tag_of(claim->hash));
	}
	index = SLOT(found) / WAYS;
	claim->overflow =
		found && index != bucket_of(which, claim->hash, 0) && index != bucket_of(which, claim->hash, 1);
	return found;
}

/* A slot for a key, its tag set: a reference, or NO_SLOT if there is none. */
__noinline __u32 claim_slot(struct claim *claim, __u32 which)
{
	__u32 first, found;

	if (!claim)
		return NO_SLOT;
	claim->overflow = 0;
	found = claim_in(which, bucket_of(which, claim->hash, 0), claim->hash, ROOM_TO_SPARE);
	if (likely(found))
		return found;
	/* Nearly full: the emptier of the two. */
	first = free_ways(which, bucket_of(which, claim->hash, 0)) < free_ways(which, bucket_of(which, claim->hash, 1));
	found = claim_in(which, bucket_of(which, claim->hash, first), claim->hash, 1);
	if (!found)
		found = claim_in(which, bucket_of(which, claim->hash, !first), claim->hash, 1);
	return likely(found) ? found : make_room(claim, which);
}
