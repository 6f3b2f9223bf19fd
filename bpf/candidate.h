/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Real servers as schedulers see them: which may be given new connections, and how loaded they are. */
#pragma once

#include "mark.h"
#include "retire.h"

static __always_inline struct server *server_by_id(__u32 half, __u32 id)
{
	__u32 index = half * MAX_SERVERS + id;

	return bpf_map_lookup_elem(&servers, &index);
}

static __always_inline bool usable(const struct server *server)
{
	return server && server->flags & SERVER_USABLE;
}

static __always_inline __u32 active_of(__u32 id, const struct server_load *load)
{
	return READ_ONCE(load->active) - retired_of(id, 1);
}

static __always_inline __u32 inactive_of(__u32 id, const struct server_load *load)
{
	return READ_ONCE(load->inactive) - retired_of(id, 0);
}

/* Whether a server has reached its upper threshold, and not yet come below the lower one. */
static __always_inline bool has_enough(__u32 id, const struct server_load *load)
{
	if (likely(!READ_ONCE(load->overloaded)))
		return 0;
	if (!dry_run || !load->upper || !(retired_of(id, 0) || retired_of(id, 1)))
		return 1;
	return !relieved(load, active_of(id, load) + inactive_of(id, load));
}

static __always_inline bool overloaded(__u32 id)
{
	struct server_load *load = bpf_map_lookup_elem(&server_loads, &id);

	return load && has_enough(id, load);
}

/* A real server that new connections may be given to, with what is known of it. */
struct candidate {
	__u32 id;
	__u32 weight;
	__u64 active;
	__u64 inactive;
};

/* The real server at a position of a service's list: false if it takes no new connections. */
static __always_inline bool candidate_at(struct candidate *candidate, __u32 half, __u32 position)
{
	__u32 index = half * MAX_LISTED + position;
	__u32 *id = bpf_map_lookup_elem(&listed, &index);
	struct server_load *load;
	struct server *server;

	if (!id)
		return 0;
	server = server_by_id(half, *id);
	load = bpf_map_lookup_elem(&server_loads, id);
	if (!load || !usable(server) || server->weight == 0 || has_enough(*id, load))
		return 0;
	candidate->id = *id;
	candidate->weight = server->weight;
	candidate->active = active_of(*id, load);
	candidate->inactive = inactive_of(*id, load);
	return 1;
}
