/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Choosing a real server for a new connection: by turn, by load over live counters, by hash over a table that Python made.
 * A packet that must not be scheduled goes by rendezvous over the names, which comes out the same on every director.
 */
#pragma once

#include "by_hash.h"
#include "by_load.h"
#include "by_locality.h"

struct turn_scan {
	__u32 half;
	__u32 first;
	__u32 count;
	__u32 turn;
	__u32 chosen;
};

static long try_turn(__u32 i, struct turn_scan *scan)
{
	__u32 position = scan->half * MAX_LISTED + scan->first + (scan->turn + i) % scan->count;
	__u32 *id = bpf_map_lookup_elem(&listed, &position);

	if (!id || overloaded(*id))
		return 0;
	scan->chosen = *id;
	return 1;
}

/* rr, wrr: the next slot whose server takes new connections; fo: the first. A slot is a usable server of a weight above zero. */
static __noinline __u32 choose_by_turn(const struct packet *p, const struct service *service)
{
	__u32 service_id = p->choice.service;
	struct service_load *load = bpf_map_lookup_elem(&service_loads, &service_id);
	struct turn_scan scan = { .half = p->half, .first = service->first_turn, .chosen = SERVER_NONE };

	scan.count = service->turn_count;
	if (!load || !scan.count)
		return SERVER_NONE;
	if (service->choice == BY_TURN)
		scan.turn =
			(__u32)((dry_run ? READ_ONCE(load->turn) : __sync_fetch_and_add(&load->turn, 1)) % scan.count);
	bpf_loop(scan.count, try_turn, &scan, 0);
	return scan.chosen;
}

static __always_inline __u32 schedule(const struct packet *p, const struct service *service)
{
	switch (service->choice) {
	case BY_TURN:
	case BY_ORDER:
		return choose_by_turn(p, service);
	case BY_RENDEZVOUS:
		return schedule_by_rendezvous(p, service);
	case BY_PAIR:
		return choose_by_pair(p->half, service, &p->key);
	case BY_LOCALITY:
	case BY_LOCALITY_SET:
		return choose_by_locality(p, service);
	case BY_LOAD_TWOS:
		return choose_of_two(p->half, service);
	case BY_SOURCE:
		return choose_by_hash(p->half, service,
				      folded(source_of(p)) + (service->flags & SERVICE_HASH_PORT ? port_of(p) : 0));
	case BY_DESTINATION:
		return choose_by_hash(p->half, service, folded(destination_of(p)));
	default:
		return choose_by_load(p->half, service);
	}
}

/* Whether a template's server takes the client's new connections. LVS: ip_vs_check_template in ip_vs_conn.c. */
static __always_inline bool still_bound(const struct server *server, const struct service *service)
{
	return usable(server) && (server->weight || !(service->flags & SERVICE_EXPIRE_QUIESCENT));
}

/*
 * A server for an opening packet of a persistent service: `given`, if that is one, which binds a client that is not bound
 * elsewhere. Sets the flag if a template counts it.
 */
static __always_inline __u32 schedule_persistent(struct packet *p, const struct service *service, __u32 given)
{
	struct template_key key = {};
	__u32 seen, server, bound;

	template_key(&key, p->choice.service, source_of(p), p->choice.prefix);
	seen = bound_server(&key, p->now_ns);
	server = seen;
	if (seen == SERVER_NONE || !still_bound(server_by_id(p->half, seen), service))
		server = given != SERVER_NONE ? given : schedule(p, service);
	if (server == SERVER_NONE)
		return SERVER_NONE;
	if (unlikely(given != SERVER_NONE && server != given))
		return given;
	bound = join_template(&key, seen, server, p->now_ns + service->persistence_ns);
	if (bound == SERVER_NONE)
		return server;
	if (unlikely(given != SERVER_NONE && bound != given)) {
		leave_template(&p->key, p->choice.service, p->choice.prefix, p->from_low);
		return given;
	}
	if (given == SERVER_NONE && bound == seen)
		note_choice(p, CHOSEN_TEMPLATE);
	p->choice.flags |= CONNECTION_PERSISTENT;
	return bound;
}
