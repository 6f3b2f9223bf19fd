/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Choosing a real server: by turn over a list, by load over live counters, or, for a packet that
 * must not be scheduled, by rendezvous over the names, which comes out the same on every director.
 */
#pragma once

#include "mark.h"
#include "persistence.h"

static __always_inline struct server *server_by_id(__u32 half, __u32 id)
{
	__u32 index = half * MAX_SERVERS + id;

	return bpf_map_lookup_elem(&servers, &index);
}

static __always_inline bool usable(const struct server *server)
{
	return server && server->flags & SERVER_USABLE;
}

/* rr: the next slot. A slot is a usable server of a weight above zero; Python sees to that. */
static __always_inline __u32 choose_by_turn(__u32 half, __u32 service_id, const struct service *service)
{
	struct service_load *load = bpf_map_lookup_elem(&service_loads, &service_id);
	__u32 position, *id;

	if (!load || !service->turn_count)
		return SERVER_NONE;
	position = half * MAX_LISTED + service->first_turn +
		   (__u32)(__sync_fetch_and_add(&load->turn, 1) % service->turn_count);
	id = bpf_map_lookup_elem(&listed, &position);
	return id ? *id : SERVER_NONE;
}

struct load_scan {
	__u32 half;
	__u32 first;
	__u32 best;
	__u32 best_weight;
	__u64 best_overhead;
};

static long compare_load(__u32 i, struct load_scan *scan)
{
	__u32 position = scan->half * MAX_LISTED + scan->first + i;
	__u32 *id = bpf_map_lookup_elem(&listed, &position);
	struct server_load *load;
	struct server *server;
	__u64 overhead;

	if (!id)
		return 1;
	server = server_by_id(scan->half, *id);
	load = bpf_map_lookup_elem(&server_loads, id);
	if (!load || !usable(server) || server->weight == 0)
		return 0;
	overhead = (__u64)READ_ONCE(load->active) * 256 + READ_ONCE(load->inactive);
	if (scan->best == SERVER_NONE || scan->best_overhead * server->weight > overhead * scan->best_weight) {
		scan->best = *id;
		scan->best_weight = server->weight;
		scan->best_overhead = overhead;
	}
	return 0;
}

/*
 * wlc: least (active * 256 + inactive) / weight, compared by cross-multiplying; the first in the
 * list wins ties; weight 0 is skipped. net/netfilter/ipvs/ip_vs_wlc.c, ip_vs_dest_conn_overhead.
 */
static __always_inline __u32 choose_by_load(__u32 half, const struct service *service)
{
	struct load_scan scan = { .half = half, .first = service->first_server, .best = SERVER_NONE };

	bpf_loop(service->server_count, compare_load, &scan, 0);
	return scan.best;
}

/* Hash of an unordered address pair: equal on every director, so it has no secret. */
static __always_inline __u32 pair_hash(const struct connection_key *key)
{
	const __u32 *low = (const __u32 *)key->low, *high = (const __u32 *)key->high;
	__u64 hash = 0;

	for (int i = 0; i < 4; i++) {
		hash = (hash ^ ntohl(low[i])) * 0x9e3779b97f4a7c15ULL;
		hash = (hash ^ (hash >> 32) ^ ntohl(high[i])) * 0xbf58476d1ce4e5b9ULL;
	}
	return (__u32)(hash >> 32);
}

static __always_inline __u32 choose_by_rendezvous(const struct packet *p, __u32 service_id,
						  const struct service *service)
{
	__u32 index = p->half * MAX_SERVICES + service_id;
	struct fallback *fallback = bpf_map_lookup_elem(&fallbacks, &index);
	__u32 slot = pair_hash(&p->key) % FALLBACK_SLOTS;

	OPAQUE(slot);
	if (!fallback || !service->fallback_count || slot >= FALLBACK_SLOTS)
		return SERVER_NONE;
	return fallback->server[slot];
}

static __always_inline __u32 schedule(const struct packet *p, __u32 service_id, const struct service *service)
{
	if (service->choice == BY_TURN)
		return choose_by_turn(p->half, service_id, service);
	return choose_by_load(p->half, service);
}

/* A server for an opening packet of a persistent service. Sets the flag if a template counts it. */
static __always_inline __u32 schedule_persistent(struct packet *p, __u32 service_id, const struct service *service)
{
	struct template_key key = {};
	__u32 seen, server, bound;

	template_key(&key, service_id, p->from_low ? p->key.low : p->key.high, service->persistence_prefix);
	seen = bound_server(&key, p->now_ns);
	server = seen;
	if (seen == SERVER_NONE || !usable(server_by_id(p->half, seen)))
		server = schedule(p, service_id, service);
	if (server == SERVER_NONE)
		return SERVER_NONE;
	bound = join_template(&key, seen, server, p->now_ns + service->persistence_ns);
	if (bound == SERVER_NONE)
		return server;
	p->choice.flags |= CONNECTION_PERSISTENT;
	return bound;
}
