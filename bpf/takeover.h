/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Taking over from the programs of another version, whose connections are laid out otherwise
 * (src/lasthop/dataplane/upgrade). This program is put in front of those on every leg, and has their table of tags and its
 * own entries. What it does not know and they may know goes on to them; meanwhile their entries are copied.
 */
#pragma once

#include "life.h"
#include "table.h"

/* Not a reason: the program behind this one decides, and counts. */
#define LEFT_TO_FORMER (REASONS + 4)

/* Whether a slot in a bucket has the packet's tag and no entry here: the former programs' connection, not copied yet. */
__noinline int tagged_in(const struct packet *p, __u32 index)
{
	struct bucket *bucket = p ? bucket_at(TABLE_MAIN, index) : NULL;
	__u32 ways = bucket ? ways_with(bucket, tag_of(p->hash)) : 0;

	for (int i = 0; i < WAYS && ways; i++) {
		struct connection *connection = connection_at(TABLE_MAIN, index * WAYS + lowest_way(ways));

		ways &= ways - 1;
		if (connection && !(WORD_FLAGS(READ_ONCE(connection->word)) & (CONNECTION_LIVE | CONNECTION_PENDING)))
			return 1;
	}
	return 0;
}

/* A packet whose connection is not known here. */
__noinline int may_be_formers(const struct packet *p)
{
	__u32 phase = takeover_phase();

	if (!p || phase == TAKEOVER_NONE)
		return 0;
	/* Until every leg has this program, nothing may begin here whose other direction another program sees. */
	if (phase == TAKEOVER_KNOWN || !p->hash)
		return 1;
	for (__u32 choice = 0; choice < CHOICES; choice++)
		if (tagged_in(p, bucket_of(TABLE_MAIN, p->hash, choice)))
			return 1;
	return 0;
}
