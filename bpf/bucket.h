/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table's memory: buckets of tags, entries, and which of them a key may be in.
 *
 * A key has four buckets, by turns of its hash. Nearly every connection is in its first or second; the third and fourth
 * are looked at while table.overflowed says that somebody is there. During a resize the next table has four more. In a
 * bucket a key prefers one way; more than half of all connections are in it, and are found without the tags.
 */
#pragma once

#include "count.h"
#include "settings.h"
#include "siphash.h"

#define WORD_STATE(word) ((__u32)(word) & 0xff)
#define WORD_FLAGS(word) ((__u32)((word) >> 8) & 0xffff)
#define WORD(flags, state) ((__u64)(flags) << 8 | (state))
#define WORD_GENERATION 0xffffffff00000000ULL
#define NEXT_GENERATION (1ULL << 32)
#define WORD_LIVE WORD(CONNECTION_LIVE, 0)
#define WORD_PENDING WORD(CONNECTION_PENDING, 0)

/* Buckets of a key that are looked at first, and all of them. */
#define NEAR_CHOICES 2
#define CHOICES 4

/* References to slots, so that 0 can mean none. */
#define NO_SLOT 0
#define SLOT(reference) ((reference) - 1)

static __always_inline struct table *the_table(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&table, &zero);
}

static __always_inline struct bucket *bucket_at(__u32 which, __u32 index)
{
	if (table_role != ROLE_ALONE && which == TABLE_NEXT)
		return bpf_map_lookup_elem(&next_tags, &index);
	return bpf_map_lookup_elem(&tags, &index);
}

static __always_inline struct connection *connection_at(__u32 which, __u32 slot)
{
	if (table_role != ROLE_ALONE && which == TABLE_NEXT)
		return bpf_map_lookup_elem(&next_entries, &slot);
	return bpf_map_lookup_elem(&entries, &slot);
}

static __always_inline __u32 tag_of(__u64 hash)
{
	return (__u32)(hash >> 32) | 1;
}

/* A key's bucket of the given choice, 0 to CHOICES - 1. */
static __always_inline __u32 bucket_of(__u32 which, __u64 hash, __u32 choice)
{
	__u64 turned = hash * (choice == 0   ? 1
			       : choice == 1 ? 0x9e3779b97f4a7c15ULL
			       : choice == 2 ? 0xbf58476d1ce4e5b9ULL
					     : 0x94d049bb133111ebULL);
	__u64 spread = choice ? turned >> 32 : (__u32)turned;

	return (__u32)(spread * (which == TABLE_NEXT ? next_buckets : buckets) >> 32);
}

/* The way that a key gets in a bucket if it is free: by bits of the hash that tell little about the bucket. */
static __always_inline __u32 preferred_way(__u64 hash)
{
	return (__u32)hash & (WAYS - 1);
}

/* The ways of a bucket that hold a tag, one bit each. Without branches: the verifier would follow each of them. */
static __always_inline __u32 ways_with(const struct bucket *bucket, __u32 tag)
{
	__u32 ways = 0;

	for (int i = 0; i < WAYS; i++)
		ways |= (__u32)(((__u64)(bucket->tag[i] ^ tag) - 1) >> 63) << i;
	return ways;
}

/* The lowest of some ways: de Bruijn's sequence tells the bit, and the table of its answers is a number. */
static __always_inline __u32 lowest_way(__u32 ways)
{
	__u32 bit = ways & -ways;

	return (__u32)(0xcd7ea84fb6935210ULL >> ((bit * 0x09af & 0xffff) >> 12) * 4) & (WAYS - 1);
}

static __always_inline __u32 how_many(__u32 ways)
{
	ways = (ways & 0x5555) + (ways >> 1 & 0x5555);
	ways = (ways & 0x3333) + (ways >> 2 & 0x3333);
	ways = (ways & 0x0f0f) + (ways >> 4 & 0x0f0f);
	return (ways & 0xff) + (ways >> 8);
}

static __always_inline bool same_key(const struct connection_key *a, const struct connection_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

/*
 * The entry of the packet's key in a bucket: a reference to its slot, or NO_SLOT. `wanted` are the flags of which it must
 * have one; the slot `but` refers to is passed over. The entry's word then is in p->word.
 */
__noinline __u32 look_in(struct packet *p, __u32 which, __u32 index, __u32 wanted, __u32 but)
{
	struct connection *connection;
	struct bucket *bucket;
	__u32 ways, slot;

	if (!p)
		return NO_SLOT;
	bucket = bucket_at(which, index);
	if (!bucket)
		return NO_SLOT;
	ways = ways_with(bucket, tag_of(p->hash));
	for (int i = 0; i < WAYS && ways; i++) {
		slot = index * WAYS + lowest_way(ways);
		ways &= ways - 1;
		if (slot + 1 == but)
			continue;
		connection = connection_at(which, slot);
		if (!connection)
			return NO_SLOT;
		p->word = READ_ONCE(connection->word);
		if (WORD_FLAGS(p->word) & wanted && same_key(&connection->key, &p->key))
			return slot + 1;
	}
	return NO_SLOT;
}

/*
 * The live connection of the packet's key if it is in the preferred way of its first bucket: a reference, or NO_SLOT.
 * The tags are asked for at the same time: should they be needed, the two waits for memory are one.
 */
static __always_inline __u32 look_first(struct packet *p)
{
	__u32 index = bucket_of(TABLE_MAIN, p->hash, 0), slot = index * WAYS + preferred_way(p->hash);
	struct bucket *bucket = bucket_at(TABLE_MAIN, index);
	struct connection *connection = connection_at(TABLE_MAIN, slot);

	if (!bucket || !connection)
		return NO_SLOT;
	(void)READ_ONCE(bucket->tag[0]);
	p->word = READ_ONCE(connection->word);
	return WORD_FLAGS(p->word) & CONNECTION_LIVE && same_key(&connection->key, &p->key) ? slot + 1 : NO_SLOT;
}

/* The entry of the packet's key in one table, as look_in() says. */
static __always_inline __u32 look_everywhere(struct packet *p, __u32 which, __u32 wanted, __u32 but)
{
	struct table *shared = the_table();
	__u32 found = look_in(p, which, bucket_of(which, p->hash, 0), wanted, but);

	if (likely(found))
		return found;
	found = look_in(p, which, bucket_of(which, p->hash, 1), wanted, but);
	if (likely(found) || !shared || likely(!READ_ONCE(shared->overflowed)))
		return found;
	found = look_in(p, which, bucket_of(which, p->hash, 2), wanted, but);
	return found ? found : look_in(p, which, bucket_of(which, p->hash, 3), wanted, but);
}
