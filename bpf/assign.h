/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Choosing the real server of a service, for packets that are scheduled and for those that are not. */
#pragma once

#include "fragment.h"
#include "related.h"
#include "schedule.h"
#include "way.h"

/* Whether nobody will remember the packet's connection, because its leg is strict and does not know who sent it. */
static __always_inline bool denied(const struct packet *p)
{
	struct leg *leg = leg_by_id(p->leg_id);

	return leg && unlikely(leg->flags & LEG_STRICT) && !(p->choice.flags & CONNECTION_ONE_PACKET) &&
	       reply_hop(p) == HOP_DENIED;
}

/*
 * Whether a packet is to be scheduled. In a crowded table new connections go by rendezvous too: where they would go
 * without an entry, so that it makes no difference which of two directors has one, or for how long.
 */
static __always_inline bool to_be_scheduled(const struct packet *p)
{
	if (!p->opening || denied(p))
		return 0;
	if (likely(!crowded(p->choice.service)))
		return 1;
	count(EVENT_CROWDED);
	return 0;
}

/* A server of a service for a packet that is to be scheduled, or SERVER_NONE. */
static __always_inline __u32 schedule_opening(struct packet *p, const struct service *service)
{
	__u32 early = SERVER_NONE, server;

	note_choice(p, CHOSEN_SCHEDULED);
	if (unlikely(p->fragment == FRAGMENT_FIRST)) {
		early = early_server(p);
		if (early != SERVER_NONE && !usable(server_by_id(p->half, early)))
			early = SERVER_NONE;
	}
	if (unlikely(early != SERVER_NONE)) {
		note_choice(p, CHOSEN_FRAGMENT);
	} else if (unlikely(service->flags & SERVICE_RELATED)) {
		server = related_server(p);
		if (server != SERVER_NONE) {
			note_choice(p, CHOSEN_RELATED);
			return server;
		}
	}
	if (service->persistence_ns)
		return schedule_persistent(p, service, early);
	return early != SERVER_NONE ? early : schedule(p, service);
}

/* A server of a service for a packet that is not to be scheduled, or SERVER_NONE. */
static __always_inline __u32 place(struct packet *p, const struct service *service)
{
	note_choice(p, CHOSEN_RENDEZVOUS);
	if (unlikely(p->fragment == FRAGMENT_LATER && !p->related && service->persistence_ns)) {
		struct template_key key = {};
		__u32 server;

		template_key(&key, p->choice.service, source_of(p), p->choice.prefix);
		server = bound_server(&key, p->now_ns);
		if (server != SERVER_NONE && still_bound(server_by_id(p->half, server), service)) {
			note_choice(p, CHOSEN_TEMPLATE);
			return server;
		}
	}
	return choose_by_rendezvous(p, service);
}

/* Choose the server of a service for a packet: 0, or the reason why there is none. */
__noinline __u32 assign(struct packet *p)
{
	__u32 index;
	struct service *service;

	if (!p)
		return DROP_EMPTY;
	index = p->half * MAX_SERVICES + p->choice.service;
	service = bpf_map_lookup_elem(&services, &index);
	if (!service)
		return DROP_EMPTY;
	if (p->entry == ENTRY_XDP && !(service->flags & SERVICE_XDP))
		return KERNEL_TC;
	if (unlikely(p->segment_length > service->mtu))
		return too_big(p, service->mtu);
	p->choice.prefix = p->family == 4 ? service->persistence_prefix : service->persistence_prefix6;
	if (unlikely(service->flags & SERVICE_ONE_PACKET && p->ip_proto == IPPROTO_UDP))
		p->choice.flags |= CONNECTION_ONE_PACKET;
	p->choice.server = to_be_scheduled(p) ? schedule_opening(p, service) : place(p, service);
	if (p->choice.server != SERVER_NONE)
		return 0;
	if (service->flags & SERVICE_EMPTY_BYPASS)
		return KERNEL_BYPASS;
	return service->flags & SERVICE_EMPTY_TO_KERNEL ? KERNEL_EMPTY : DROP_EMPTY;
}
