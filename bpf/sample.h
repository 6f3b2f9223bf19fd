/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The symmetry auditor: responses that come from another real server than their connection's requests go to. */
#pragma once

#include "hop.h"
#include "related.h"
#include "table.h"

static __always_inline void take_sample(const struct packet *p, __u32 expected, __u32 came_from)
{
	struct table *shared = the_table();
	struct sample *sample;
	__u32 place;

	if (!shared)
		return;
	place = __sync_fetch_and_add(&shared->samples, 1) % SAMPLES;
	sample = bpf_map_lookup_elem(&samples, &place);
	if (!sample)
		return;
	sample->when_ns = p->now_ns;
	sample->key = p->key;
	sample->expected = expected;
	sample->came_from = came_from;
	sample->from_low = p->from_low;
}

/* A response came from another hop than the connection's: that is asymmetric if it is another real server's. */
static __noinline void suspect(const struct packet *p, const struct connection *connection)
{
	__u32 expected = box_of_hop(READ_ONCE(connection->forward_hop)), came_from = box_of_hop(known_source_hop(p));

	if (dry_run || came_from == expected)
		return;
	if (came_from == NO_BOX) {
		count(EVENT_RESPONSE_ELSEWHERE);
		return;
	}
	count(EVENT_ASYMMETRIC);
	take_sample(p, expected, came_from);
}
