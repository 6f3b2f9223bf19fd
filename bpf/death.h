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

/* What becomes of a packet of the connection that was found: a reason, NOT_DEAD or TO_BE_MOVED. */
__noinline __u32 after_death(struct packet *p)
{
	struct connection *connection;
	struct service *service;
	struct server *server;
	__u32 index, last_hop;
	bool request;

	if (!p)
		return NOT_DEAD;
	connection = connection_at(p->table, p->slot);
	if (!connection || connection->service == SERVICE_NONE)
		return NOT_DEAD;
	server = server_by_id(p->half, connection->server);
	if (!server || !(server->flags & SERVER_DEAD))
		return NOT_DEAD;
	index = p->half * MAX_SERVICES + server->service;
	service = bpf_map_lookup_elem(&services, &index);
	last_hop = READ_ONCE(connection->last_hop);
	/* Only now is it certain that all this was read from the packet's connection and not from a successor. */
	if (!service || !still_there(p, READ_ONCE(connection->word)))
		return NOT_DEAD;
	request = p->from_low == !!(WORD_FLAGS(p->word) & CONNECTION_FROM_LOW);
	switch (service->on_death) {
	case DEATH_REBALANCE:
		/* A response has crossed the dead server still: it goes on to the last hop. A later fragment begins nothing. */
		return request && (p->fragment != FRAGMENT_LATER || p->related) ? TO_BE_MOVED : NOT_DEAD;
	case DEATH_RESET:
		return reset_of(p, connection, last_hop, request);
	case DEATH_DROP:
		return DROP_DEAD;
	case DEATH_BYPASS:
		return KERNEL_BYPASS;
	default:
		return NOT_DEAD;
	}
}
