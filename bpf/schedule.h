/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Choosing a real server: by turn over a list, by load over live counters, or, as for every packet that
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
	if (!load || !usable(server) || server->weight == 0)
		return 0;
	candidate->id = *id;
	candidate->weight = server->weight;
	candidate->active = READ_ONCE(load->active);
	candidate->inactive = READ_ONCE(load->inactive);
	return 1;
}

struct load_scan {
	__u32 half;
	__u32 first;
	__u32 choice;
	__u32 best;
	__u64 best_weight;
	__u64 best_cost;
};

/*
 * What a candidate costs, to be held against its weight. net/netfilter/ipvs/ip_vs_{wlc,lc,sed,nq}.c; for nq an idle one
 * costs nothing, so that the first of them is taken. What costs the same each time is chosen by weight alone.
 */
static __always_inline __u64 cost_of(__u32 choice, const struct candidate *candidate)
{
	switch (choice) {
	case BY_LOAD_SED:
		return candidate->active + 1;
	case BY_LOAD_NQ:
		return candidate->active ? candidate->active + 1 : 0;
	case BY_LOAD_OVF:
		return 1;
	default:
		return candidate->active * 256 + candidate->inactive;
	}
}

static long compare_load(__u32 i, struct load_scan *scan)
{
	struct candidate candidate;
	__u64 cost, weight;

	if (!candidate_at(&candidate, scan->half, scan->first + i))
		return 0;
	/* ip_vs_ovf.c: who has more active connections than weight is full. */
	if (scan->choice == BY_LOAD_OVF && candidate.active > candidate.weight)
		return 0;
	cost = cost_of(scan->choice, &candidate);
	weight = scan->choice == BY_LOAD_LC ? 1 : candidate.weight;
	if (scan->best == SERVER_NONE || scan->best_cost * weight > cost * scan->best_weight) {
		scan->best = candidate.id;
		scan->best_weight = weight;
		scan->best_cost = cost;
	}
	return 0;
}

/* The least cost / weight, compared by cross-multiplying; the first in the list wins ties; weight 0 is skipped. */
static __noinline __u32 choose_by_load(__u32 half, const struct service *service)
{
	struct load_scan scan = {
		.half = half, .first = service->first_server, .choice = service->choice, .best = SERVER_NONE
	};

	bpf_loop(service->server_count, compare_load, &scan, 0);
	return scan.best;
}

struct weight_scan {
	__u32 half;
	__u32 first;
	__u32 total; /* of the weights before */
	__u32 drawn; /* the total at which it ends */
	__u32 chosen;
};

static long add_weight(__u32 i, struct weight_scan *scan)
{
	struct candidate candidate;

	if (!candidate_at(&candidate, scan->half, scan->first + i))
		return 0;
	scan->total += candidate.weight;
	scan->chosen = candidate.id;
	return scan->total >= scan->drawn;
}

static __always_inline __u64 overhead_of(__u32 id)
{
	struct server_load *load = bpf_map_lookup_elem(&server_loads, &id);

	return load ? (__u64)READ_ONCE(load->active) * 256 + READ_ONCE(load->inactive) : 0;
}

/*
 * twos: two are drawn, each by weight, with numbers from 0 to the sum of all weights; the second is taken if it has less
 * overhead / weight. net/netfilter/ipvs/ip_vs_twos.c.
 */
static __noinline __u32 choose_of_two(__u32 half, const struct service *service)
{
	struct weight_scan scan = { .half = half, .first = service->first_server, .drawn = ~0U, .chosen = SERVER_NONE };
	__u32 count = service->server_count, total, first;
	struct server *one, *other;

	bpf_loop(count, add_weight, &scan, 0);
	if (scan.chosen == SERVER_NONE)
		return SERVER_NONE;
	total = scan.total;
	scan.total = 0;
	scan.drawn = bpf_get_prandom_u32() % (total + 1);
	bpf_loop(count, add_weight, &scan, 0);
	first = scan.chosen;
	scan.total = 0;
	scan.drawn = bpf_get_prandom_u32() % (total + 1);
	bpf_loop(count, add_weight, &scan, 0);
	one = server_by_id(half, first);
	other = server_by_id(half, scan.chosen);
	if (!one || !other)
		return first;
	return other->weight * overhead_of(first) > one->weight * overhead_of(scan.chosen) ? scan.chosen : first;
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

#define HASH_SLOTS (1U << HASH_BITS)

/* include/linux/hash.h, hash_32(): of sh and dh in net/netfilter/ipvs. */
static __always_inline __u32 hash_slot(__u32 number)
{
	return number * 0x61c88647U >> (32 - HASH_BITS);
}

struct slot_scan {
	__u32 half;
	__u32 first;
	__u32 slot;
	__u32 chosen;
};

/* The first try is the slot itself; sh-fallback then adds to it the slot's own number, and one more each time. */
static long try_slot(__u32 i, struct slot_scan *scan)
{
	__u32 added = i ? (i - 1 + scan->slot) % HASH_SLOTS : 0;
	struct candidate candidate;

	if (!candidate_at(&candidate, scan->half, scan->first + (scan->slot + added) % HASH_SLOTS))
		return 0;
	scan->chosen = candidate.id;
	return 1;
}

/* sh, dh: the server in the slot of an address. net/netfilter/ipvs/ip_vs_sh.c, ip_vs_dh.c. */
static __noinline __u32 choose_by_hash(__u32 half, const struct service *service, __u32 hashed)
{
	struct slot_scan scan = {
		.half = half, .first = service->first_turn, .slot = hash_slot(hashed), .chosen = SERVER_NONE
	};

	if (service->turn_count == HASH_SLOTS)
		bpf_loop(service->flags & SERVICE_HASH_FALLBACK ? 1 + HASH_SLOTS : 1, try_slot, &scan, 0);
	return scan.chosen;
}

/* The source port where the protocol has ports. */
static __always_inline __u32 port_of(const struct packet *p)
{
	return p->ip_proto == IPPROTO_TCP || p->ip_proto == IPPROTO_UDP ? ntohs(p->source_port) : 0;
}

static __always_inline __u32 schedule(const struct packet *p, __u32 service_id, const struct service *service)
{
	switch (service->choice) {
	case BY_TURN:
		return choose_by_turn(p->half, service_id, service);
	case BY_RENDEZVOUS:
		return choose_by_rendezvous(p, service_id, service);
	case BY_LOAD_TWOS:
		return choose_of_two(p->half, service);
	case BY_SOURCE:
		return choose_by_hash(p->half, service,
				      ntohl(p->source) + (service->flags & SERVICE_HASH_PORT ? port_of(p) : 0));
	case BY_DESTINATION:
		return choose_by_hash(p->half, service, ntohl(p->destination));
	default:
		return choose_by_load(p->half, service);
	}
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
