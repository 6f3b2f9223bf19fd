/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections whose real server is dead. The director says so by one published set; each connection finds out by its own
 * next packet, so that a million of them cost nothing before they speak.
 */
#pragma once

#include "forward.h"

/* Not reasons: the real server lives, or is kept; or the connection begins anew by rendezvous. */
#define NOT_DEAD (REASONS + 2)
#define TO_BE_MOVED (REASONS + 3)

/*
 * The way on goes to p->out for a response: its originator may be waiting, and would never send what could be answered. The
 * connection is closed as by the RST that both get, or that came.
 */
static __always_inline __u32 reset_of(struct packet *p, struct connection *connection, __u32 last_hop, bool request)
{
	bool answered = !(p->signals & TCP_RST);

	if (p->ip_proto != IPPROTO_TCP || p->related || p->fragment == FRAGMENT_LATER)
		return DROP_DEAD;
	/* The answer is another frame than came: tc can make it. */
	if (answered && p->entry == ENTRY_XDP)
		return KERNEL_TC;
	if (answered && !request)
		way_to(p, last_hop);
	p->signals |= TCP_RST;
	track(p, connection, request ? REQUEST : RESPONSE);
	return answered ? FORWARDED_RESET : DROP_DEAD;
}

/*
 * Leave a connection to the kernel's routes for as long as it lives: a firewall that returns has missed a part of it.
 * Responses that come here go to the last hop all the same.
 */
static __noinline __u32 bypass(struct packet *p, struct connection *connection)
{
	if (p->entry == ENTRY_XDP)
		return KERNEL_TC;
	if (p->related)
		return KERNEL_BYPASS;
	for (int i = 0; i < WORD_TRIES && !dry_run; i++) {
		__u64 word = READ_ONCE(connection->word);

		if (!still_there(p, word) || WORD_FLAGS(word) & CONNECTION_BYPASSED ||
		    __sync_val_compare_and_swap(&connection->word, word, word | WORD(CONNECTION_BYPASSED, 0)) == word)
			break;
	}
	track(p, connection, REQUEST);
	return KERNEL_BYPASS;
}

/* The service of a server as packets read it, or NULL. */
static __always_inline struct service *service_of(const struct packet *p, const struct server *server)
{
	__u32 index = p->half * MAX_SERVICES + server->service;

	return bpf_map_lookup_elem(&services, &index);
}

/* A response to another server than the dead one that is the last hop: to where rendezvous sends the requests. */
static __always_inline __u32 turn_response(struct packet *p, struct connection *connection, __u32 service_id,
					   const struct service *service)
{
	__u32 id, reason;
	struct server *server;

	p->choice.service = service_id;
	id = choose_by_rendezvous(p, service);
	p->choice.service = 0;
	server = id == SERVER_NONE ? NULL : server_by_id(p->half, id);
	if (!server || !server->hop)
		return NOT_DEAD;
	if (p->entry == ENTRY_XDP)
		return KERNEL_TC;
	reason = way_to(p, server->hop);
	if (reason)
		return reason;
	if (p->related)
		return FORWARDED_RELATED;
	if (!dry_run) {
		WRITE_ONCE(connection->last_hop, server->hop);
		count(EVENT_LAST_HOP_MOVED);
	}
	if (p->fragment != FRAGMENT_LATER)
		check_source(p, connection, RESPONSE);
	track(p, connection, RESPONSE);
	return p->fragment == FRAGMENT_LATER ? FORWARDED_FRAGMENT : FORWARDED_RESPONSE;
}

/*
 * What becomes of a response whose last hop is a dead box: what the service says that has the box in this zone. If there are
 * several, the first in the file.
 */
static __noinline __u32 after_last_hops_death(struct packet *p, struct connection *connection)
{
	__u32 last_hop = READ_ONCE(connection->last_hop), *id;
	struct dead_box key = { .zone = p->key.zone, .box = box_of_hop(last_hop), .half = p->half };
	struct service *service;
	struct server *server;

	id = key.box == NO_BOX ? NULL : bpf_map_lookup_elem(&dead_boxes, &key);
	server = id ? server_by_id(p->half, *id) : NULL;
	service = server ? service_of(p, server) : NULL;
	if (!service || !still_there(p, READ_ONCE(connection->word)))
		return NOT_DEAD;
	switch (service->on_death) {
	case DEATH_REBALANCE:
		return turn_response(p, connection, server->service, service);
	case DEATH_RESET:
		return reset_of(p, connection, last_hop, 0);
	case DEATH_DROP:
		return DROP_DEAD;
	case DEATH_BYPASS:
		return KERNEL_BYPASS;
	default:
		return NOT_DEAD;
	}
}

/*
 * Whether a request opens what can as well go through another server: what nobody has answered, and where the old
 * connection is over for all. Whoever forged a SYN would end nothing by it that lives.
 */
static __always_inline bool opens_anew(const struct packet *p, const struct service *service)
{
	if (!p->opening || p->related || (p->ip_proto != IPPROTO_TCP && p->ip_proto != IPPROTO_SCTP))
		return 0;
	return service->on_death == DEATH_RESET ||
	       (service->on_death != DEATH_KEEP && !(WORD_FLAGS(p->word) & CONNECTION_REPLIED));
}

/* What becomes of a packet whose connection was scheduled to a server, if that is dead: a reason, NOT_DEAD or TO_BE_MOVED. */
static __noinline __u32 after_servers_death(struct packet *p, struct connection *connection, bool request)
{
	__u32 id = READ_ONCE(connection->server), last_hop = READ_ONCE(connection->last_hop);
	struct service *service;
	struct server *server;

	if (connection->service == SERVICE_NONE || id == SERVER_NONE)
		return NOT_DEAD;
	server = server_by_id(p->half, id);
	if (!server || !(server->flags & SERVER_DEAD))
		return NOT_DEAD;
	service = service_of(p, server);
	/* Only now is it certain that all this was read from the packet's connection and not from a successor. */
	if (!service || !still_there(p, READ_ONCE(connection->word)))
		return NOT_DEAD;
	if (request && opens_anew(p, service))
		return TO_BE_MOVED;
	switch (service->on_death) {
	case DEATH_REBALANCE:
		/* A response has crossed the dead server still: it goes on to the last hop. A later fragment begins nothing. */
		return request && (p->fragment != FRAGMENT_LATER || p->related) ? TO_BE_MOVED : NOT_DEAD;
	case DEATH_RESET:
		return reset_of(p, connection, last_hop, request);
	case DEATH_DROP:
		return DROP_DEAD;
	case DEATH_BYPASS:
		return request ? bypass(p, connection) : NOT_DEAD;
	default:
		return NOT_DEAD;
	}
}

/* What becomes of a packet of the connection that was found: a reason, NOT_DEAD or TO_BE_MOVED. */
__noinline __u32 after_death(struct packet *p)
{
	struct connection *connection;
	__u32 reason = NOT_DEAD;
	bool request;

	if (!p)
		return NOT_DEAD;
	connection = connection_at(p->table, p->slot);
	if (!connection)
		return NOT_DEAD;
	request = p->from_low == !!(WORD_FLAGS(p->word) & CONNECTION_FROM_LOW);
	if (request && WORD_FLAGS(p->word) & CONNECTION_BYPASSED)
		return bypass(p, connection);
	if (!(WORD_FLAGS(p->word) & CONNECTION_BYPASSED))
		reason = after_servers_death(p, connection, request);
	return request || reason != NOT_DEAD ? reason : after_last_hops_death(p, connection);
}
