/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to a packet: of a known connection, or of none yet. A function here returns the
 * reason that is counted; when that is one of the FORWARDED group, p->out says where the frame goes
 * and with which MAC addresses. Nothing above layer 2 is written.
 */
#pragma once

#include "classify.h"
#include "known.h"

/* Nothing to remember a connection by: an ICMP error, a later fragment, or what ends a connection. */
static __always_inline bool stray(const struct packet *p)
{
	return p->related || p->signals & SIGNAL_RESET || p->fragment == FRAGMENT_LATER;
}

/* Remember the connection with its last hop. TABLE_FULL also where there is nothing to remember it by. */
static __always_inline __u32 remember(struct packet *p)
{
	__u32 last_hop;

	if (stray(p) || p->choice.flags & CONNECTION_ONE_PACKET)
		return TABLE_FULL;
	last_hop = source_hop(p, EVENT_HOP_DENIED);
	if (!last_hop)
		return TABLE_FULL;
	p->choice.last_hop = last_hop == HOP_UNMADE ? 0 : last_hop;
	return insert_connection(p);
}

/* Find the way to the chosen server: 0, or the reason why there is none. */
static __always_inline __u32 way_to_server(struct packet *p)
{
	struct server *server = server_by_id(p->half, p->choice.server);

	if (!server || !server->hop)
		return DROP_NO_HOP;
	p->choice.forward_hop = server->hop;
	return way_to(p, server->hop);
}

/*
 * Where a packet goes that cannot be remembered: by rendezvous, whatever was scheduled, because
 * the connection's other packets will find no entry either and go there, on both directors.
 */
__noinline __u32 forward_stateless(struct packet *p)
{
	__u32 index, reason;
	struct service *service;

	if (!p)
		return DROP_EMPTY;
	/* A later fragment was not scheduled: it has the choice that its first one will follow. */
	if (p->choice.service < MAX_SERVICES && p->fragment != FRAGMENT_LATER) {
		index = p->half * MAX_SERVICES + p->choice.service;
		service = bpf_map_lookup_elem(&services, &index);
		p->choice.server = service ? choose_by_rendezvous(p, service) : SERVER_NONE;
		note_choice(p, CHOSEN_RENDEZVOUS);
	}
	reason = way_to_server(p);
	if (reason)
		return reason;
	account_packet(p->choice.service, p->choice.server, p->segments, p->length);
	return stray(p) ? FORWARDED_STRAY : FORWARDED_UNTRACKED;
}

/* Whether any service is related. */
static __always_inline bool notes_pairs(const struct packet *p)
{
	__u32 half = p->half;
	struct ruleset *ruleset = bpf_map_lookup_elem(&rulesets, &half);

	return ruleset && ruleset->flags & RULESET_RELATED;
}

/* Send a packet without a connection to the server that was chosen, and remember the connection. */
static __always_inline __u32 forward_new(struct packet *p)
{
	__u32 insertion = TABLE_FULL, reason = way_to_server(p);

	if (!reason)
		insertion = remember(p);
	if (insertion != INSERTED && p->choice.flags & CONNECTION_PERSISTENT)
		leave_template(&p->key, p->choice.service, p->choice.prefix, p->from_low);
	if (reason)
		return reason;
	if (insertion == CONTENDED)
		return FIRST_ELSEWHERE;
	if (insertion == INSERTED) {
		if (unlikely(notes_pairs(p)))
			note_pair(p);
		return p->opening ? FORWARDED_OPENING : FORWARDED_MIDSTREAM;
	}
	if (p->choice.flags & CONNECTION_ONE_PACKET) {
		account_connection(p->choice.service, p->choice.server);
		account_packet(p->choice.service, p->choice.server, p->segments, p->length);
		return FORWARDED_OPENING;
	}
	return forward_stateless(p);
}

/*
 * The service of a packet has nobody, and leaves it to the kernel's routes. So it leaves the rest of its connection, when it
 * has somebody again: a firewall that has not seen the beginning would end it. tc remembers that, XDP changes nothing.
 */
__noinline int remember_bypassed(struct packet *p)
{
	if (!p || p->entry == ENTRY_XDP || dry_run)
		return 0;
	p->choice.flags = CONNECTION_BYPASSED;
	p->choice.prefix = 0;
	p->choice.service = SERVICE_NONE;
	p->choice.server = SERVER_NONE;
	p->choice.forward_hop = 0;
	remember(p);
	return 0;
}

/* A packet of no known connection: rules, services, and last the kernel. */
static __always_inline __u32 forward_unknown(struct packet *p)
{
	__u32 reason;

	p->choice.flags &= CONNECTION_MOVED;
	p->choice.prefix = 0;
	reason = classify(p);
	if (likely(!reason))
		return forward_new(p);
	if (unlikely(reason == KERNEL_BYPASS))
		remember_bypassed(p);
	return reason;
}
