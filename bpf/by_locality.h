/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lblc and lblcr: a destination keeps its real server, or a set of them, until that is overloaded and another is half
 * idle. net/netfilter/ipvs/ip_vs_lblc.c, ip_vs_lblcr.c. An upper threshold holds here too, which LVS's lblc overlooks.
 */
#pragma once

#include "by_load.h"

/* LVS: lblc_expiration and lblcr_expiration, 24 h. */
#define LOCALITY_NS (24ULL * 3600 * 1000000000)

static __always_inline bool in_set(const struct locality *locality, __u32 id)
{
	for (__u32 i = 0; i < LOCALITY_SET; i++)
		if (i < locality->count && locality->server[i] == id)
			return 1;
	return 0;
}

struct locality_scan {
	struct locality *locality;
	__u32 half;
	__u32 first;
	bool most; /* look for the most loaded of the set, not the least */
	bool idle; /* result: one has less than half as many active connections as its weight */
	__u32 best;
	__u32 active;
	__u32 weight;
	__u64 cost;
};

static long compare_local(__u32 i, struct locality_scan *scan)
{
	struct candidate candidate;
	__u64 cost;

	if (!candidate_at(&candidate, scan->half, scan->first + i))
		return 0;
	if (candidate.active * 2 < candidate.weight)
		scan->idle = 1;
	if (!in_set(scan->locality, candidate.id))
		return 0;
	cost = candidate.active * 256 + candidate.inactive;
	if (scan->best == SERVER_NONE || (scan->most ? scan->cost * candidate.weight < cost * scan->weight
						     : scan->cost * candidate.weight > cost * scan->weight)) {
		scan->best = candidate.id;
		scan->active = candidate.active;
		scan->weight = candidate.weight;
		scan->cost = cost;
	}
	return 0;
}

/* What is known of a packet's destination, or NULL. */
static __noinline struct locality *locality_of(const struct packet *p)
{
	struct template_key key = { .service = p->choice.service };

	copy_address(key.client, destination_of(p));
	return bpf_map_lookup_elem(&localities, &key);
}

/* The server that a destination has and may keep, or SERVER_NONE. What is not of the service any more is passed over. */
static __noinline __u32 local_server(const struct packet *p, const struct service *service)
{
	struct locality_scan scan = { .half = p->half, .first = service->first_server, .best = SERVER_NONE };

	scan.locality = locality_of(p);
	if (!scan.locality || p->now_ns > scan.locality->used_ns + LOCALITY_NS)
		return SERVER_NONE;
	if (!dry_run)
		scan.locality->used_ns = p->now_ns;
	bpf_loop(service->server_count, compare_local, &scan, 0);
	return scan.active > scan.weight && scan.idle ? SERVER_NONE : scan.best;
}

/* A set that has not changed for a day gives up its most loaded member. */
static __noinline int shrink(const struct packet *p, const struct service *service)
{
	struct locality_scan scan = { .half = p->half, .first = service->first_server, .best = SERVER_NONE, .most = 1 };
	struct locality *set;
	__u32 last;

	scan.locality = set = locality_of(p);
	if (!set || set->count < 2 || p->now_ns <= set->changed_ns + LOCALITY_NS)
		return 0;
	bpf_loop(service->server_count, compare_local, &scan, 0);
	last = set->count - 1;
	OPAQUE(last);
	last &= LOCALITY_SET - 1;
	for (__u32 i = 0; i < LOCALITY_SET; i++)
		if (set->server[i] == scan.best)
			set->server[i] = set->server[last];
	set->count = last;
	set->changed_ns = p->now_ns;
	return 0;
}

/* Remember a destination's server: instead of the one before, or in its set as well. A full set takes it for its last. */
static __noinline int remember_local(const struct packet *p, const struct service *service, __u32 server)
{
	struct template_key key = { .service = p->choice.service };
	struct locality fresh = { .used_ns = p->now_ns, .changed_ns = p->now_ns, .count = 1 };
	struct locality *known = locality_of(p);
	__u32 place;

	fresh.server[0] = server;
	if (!known) {
		copy_address(key.client, destination_of(p));
		bpf_map_update_elem(&localities, &key, &fresh, BPF_ANY);
		return 0;
	}
	if (p->now_ns > known->used_ns + LOCALITY_NS || service->choice != BY_LOCALITY_SET)
		known->count = 0;
	known->used_ns = p->now_ns;
	if (in_set(known, server))
		return 0;
	place = known->count < LOCALITY_SET ? known->count : LOCALITY_SET - 1;
	known->count = place + 1;
	OPAQUE(place);
	known->server[place & (LOCALITY_SET - 1)] = server;
	known->changed_ns = p->now_ns;
	return 0;
}

/* Inlined where schedulers are called: one call less on the stack. */
static __always_inline __u32 choose_by_locality(const struct packet *p, const struct service *service)
{
	__u32 server = local_server(p, service);

	if (server != SERVER_NONE) {
		if (service->choice == BY_LOCALITY_SET && !dry_run)
			shrink(p, service);
		return server;
	}
	server = choose_by_load(p->half, service);
	if (server != SERVER_NONE && !dry_run)
		remember_local(p, service, server);
	return server;
}
