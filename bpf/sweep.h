/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sweep: forget connections and templates that are due, count what is left. A slice of the slots at a time. */
#pragma once

#include "table.h"

struct sweep_pass {
	struct slice *slice;
	struct ruleset *ruleset;
	__u32 half;
};

static __always_inline void count_hop(__u32 id)
{
	__u32 *refs = bpf_map_lookup_elem(&hop_refs, &id);

	if (refs)
		*refs += 1;
}

/* What the live counters should be. One director sweeps at a time, so that nobody else writes these. */
static __always_inline void take_census(const struct connection *connection, __u64 word)
{
	__u32 service = connection->service, server = connection->server;
	struct server_census *load;
	__u32 *unassured;

	count_hop(connection->forward_hop);
	count_hop(connection->last_hop);
	if (service == SERVICE_NONE)
		return;
	load = bpf_map_lookup_elem(&server_census, &server);
	if (load && state_active(WORD_STATE(word)))
		load->active++;
	else if (load)
		load->inactive++;
	if (load && state_closed(WORD_STATE(word)))
		load->closed++;
	unassured = bpf_map_lookup_elem(&service_census, &service);
	if (unassured && !(WORD_FLAGS(word) & CONNECTION_ASSURED))
		*unassured += 1;
}

/*
 * What a real server's account does not have yet: it was read before the sweep, so that what is forgotten by the sweep
 * counts as well.
 */
static __always_inline void take_traffic(const struct connection *connection)
{
	__u32 server = connection->server;
	struct server_census *census =
		connection->service == SERVICE_NONE ? NULL : bpf_map_lookup_elem(&server_census, &server);

	for (int i = 0; census && i < DIRECTIONS; i++) {
		census->packets[i] += READ_ONCE(connection->packets[i]);
		census->bytes[i] += READ_ONCE(connection->bytes[i]);
	}
}

/* Take a connection out whose time is over. 1 if this was who did it. */
static __always_inline __u32 expire(__u32 which, __u32 slot, __u64 word)
{
	if (!retire(which, slot, word))
		return 0;
	free_slot(which, slot);
	count(EVENT_EXPIRED);
	return 1;
}

/* Whether a connection goes to one of the networks that are the director's own now: it began while they were not. */
static __always_inline bool made_local(const struct connection *connection, __u64 word, const struct slice *slice)
{
	const __u64 *address = WORD_FLAGS(word) & CONNECTION_FROM_LOW ? (const __u64 *)connection->key.high
								      : (const __u64 *)connection->key.low;

	/* Unrolled: the verifier wants to know which bytes of the argument are read. */
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < NETWORKS_A_SWEEP; i++) {
		const struct network *network = &slice->networks[i];

		if (i < slice->network_count && !((address[0] ^ network->address[0]) & network->mask[0]) &&
		    !((address[1] ^ network->address[1]) & network->mask[1]))
			return 1;
	}
	return 0;
}

/* Whether a packet of a connection would be the kernel's, were it the first: a service by address comes before own addresses. */
static __always_inline bool kernels(const struct connection *connection, __u64 word, const struct sweep_pass *pass)
{
	__u32 index = pass->half * MAX_SERVICES + connection->service;
	struct service *service;

	if (!made_local(connection, word, pass->slice) || WORD_FLAGS(word) & CONNECTION_BYPASSED)
		return 0;
	if (connection->service == SERVICE_NONE)
		return 1;
	service = bpf_map_lookup_elem(&services, &index);
	return service && service->mark;
}

static __always_inline void sweep_connection(struct connection *connection, __u32 slot, const struct sweep_pass *pass)
{
	struct slice *slice = pass->slice;
	__u64 word = READ_ONCE(connection->word);

	if (!(WORD_FLAGS(word) & CONNECTION_LIVE))
		return;
	take_traffic(connection);
	if (idle_ns(connection, slice->now_ns) > timeout_of(pass->ruleset, WORD_STATE(word))) {
		slice->expired += expire(slice->table, slot, word);
		return;
	}
	if (unlikely(slice->network_count) && kernels(connection, word, pass) && retire(slice->table, slot, word)) {
		free_slot(slice->table, slot);
		count(EVENT_MADE_LOCAL);
		return;
	}
	slice->connections++;
	if (WORD_FLAGS(word) & CONNECTION_ASSURED)
		slice->assured++;
	if (WORD_FLAGS(word) & CONNECTION_OVERFLOW)
		slice->overflowed++;
	take_census(connection, word);
}

/* A bucket's slots in one call: calls are what a sweep would spend its time on. */
static long sweep_bucket(__u32 i, struct sweep_pass *pass)
{
	for (__u32 way = 0; way < WAYS; way++) {
		__u32 slot = pass->slice->first + i * WAYS + way;
		struct connection *connection = connection_at(pass->slice->table, slot);

		if (!connection)
			return 1;
		sweep_connection(connection, slot, pass);
	}
	return 0;
}

static long sweep_one_template(void *map, struct template_key *key, struct template *template, struct sweep_pass *pass)
{
	struct template_key copy = *key;

	(void)map;
	if (!sweep_template(&copy, template, pass->slice->now_ns))
		pass->slice->templates++;
	return 0;
}

/* The published time-outs, or NULL. */
static __always_inline struct ruleset *published_ruleset(__u32 *half)
{
	__u32 zero = 0;
	struct live *state = bpf_map_lookup_elem(&live, &zero);

	if (!state)
		return NULL;
	*half = READ_ONCE(state->half) & 1;
	return bpf_map_lookup_elem(&rulesets, half);
}

/* Returns 0, or 1 if there is nothing published to sweep by. */
static __always_inline int sweep_slice(struct slice *request)
{
	struct sweep_pass pass = { .slice = request };

	pass.ruleset = published_ruleset(&pass.half);
	if (!pass.ruleset)
		return 1;
	bpf_loop(request->count / WAYS, sweep_bucket, &pass, 0);
	if (request->templates_too)
		bpf_for_each_map_elem(&templates, sweep_one_template, &pass, 0);
	return 0;
}

/* Mend live counters that two sweeps found off by the same, and that nobody moved in between. */
static __always_inline int repair_counters(const struct repair *request)
{
	__u32 server = request->server, service = request->service;
	struct server_load *load = load_of(server);
	struct service_load *service_load = bpf_map_lookup_elem(&service_loads, &service);
	struct table *shared = the_table();

	if (!load || !service_load || !shared)
		return 1;
	adjust(&load->active, request->active);
	adjust(&load->inactive, request->inactive);
	judge_load(service, server, 1);
	judge_load(service, server, -1);
	adjust(&service_load->unassured, request->service_unassured);
	adjust(&shared->unassured, request->unassured);
	adjust(&shared->overflowed, request->overflowed);
	adjust(&shared->live, request->live);
	return 0;
}
