/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sweep: forget connections and templates that are due, count what is left. */
#pragma once

#include "table.h"

struct sweep_pass {
	struct sweep *totals;
	struct ruleset *ruleset;
};

static __always_inline void count_hop(__u32 id)
{
	__u32 *refs = bpf_map_lookup_elem(&hop_refs, &id);

	if (refs)
		__sync_fetch_and_add(refs, 1);
}

static long sweep_connection(void *map, struct connection_key *key, struct connection *connection,
			     struct sweep_pass *pass)
{
	struct sweep *totals = pass->totals;
	__u32 flags = WORD_FLAGS(READ_ONCE(connection->word));
	__u64 idle_limit_ns = totals->idle_limit_ns;

	(void)map;
	if (flags & CONNECTION_DEAD)
		return 0;
	if (expired(connection, pass->ruleset, totals->now_ns) ||
	    (idle_limit_ns && totals->now_ns > READ_ONCE(connection->last_seen_ns) + idle_limit_ns)) {
		struct connection_key copy = *key;

		if (retire(&copy, connection)) {
			count(EVENT_EXPIRED);
			totals->expired++;
		}
		return 0;
	}
	totals->connections++;
	if (flags & CONNECTION_ASSURED)
		totals->assured++;
	count_hop(connection->forward_hop);
	count_hop(connection->last_hop);
	return 0;
}

static long sweep_one_template(void *map, struct template_key *key, struct template *template, struct sweep *totals)
{
	struct template_key copy = *key;

	(void)map;
	if (!sweep_template(&copy, template, totals->now_ns))
		totals->templates++;
	return 0;
}

/* Returns 0, or 1 if there is nothing published to sweep by. */
static __always_inline int sweep_everything(struct sweep *request)
{
	struct sweep totals = { .now_ns = request->now_ns, .idle_limit_ns = request->idle_limit_ns };
	struct sweep_pass pass = { .totals = &totals };
	__u32 zero = 0, half;
	struct live *state = bpf_map_lookup_elem(&live, &zero);

	if (!state)
		return 1;
	half = READ_ONCE(state->half) & 1;
	pass.ruleset = bpf_map_lookup_elem(&rulesets, &half);
	if (!pass.ruleset)
		return 1;
	bpf_for_each_map_elem(&connections, sweep_connection, &pass, 0);
	bpf_for_each_map_elem(&templates, sweep_one_template, &totals, 0);
	*request = totals;
	return 0;
}
