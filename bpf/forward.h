/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to a packet: of a known connection, or of none yet. A function here returns the
 * reason that is counted; when that is one of the FORWARDED group, p->out says where the frame goes
 * and with which MAC addresses. Nothing above layer 2 is written.
 */
#pragma once

#include "fragment.h"
#include "related.h"
#include "sample.h"
#include "schedule.h"

/*
 * A packet larger than the MTU of the leg it would leave by: its sender is told, or the kernel gets it, which can cut it into
 * fragments. The answer is another frame than came: tc can make it.
 */
static __always_inline __u32 too_big(struct packet *p, __u32 mtu)
{
	p->mtu = mtu;
	if (!p->whole)
		return KERNEL_TOO_BIG;
	return p->entry == ENTRY_XDP ? KERNEL_TC : FORWARDED_TOO_BIG;
}

/* Whether the frame can go to a hop: 0 and the way out, or the reason why not. */
static __always_inline __u32 way_to(struct packet *p, __u32 hop_id)
{
	struct hop *hop = hop_by_id(hop_id);
	struct leg *out;
	__u64 target;

	if (!hop)
		return DROP_NO_HOP;
	target = READ_ONCE(hop->target);
	out = leg_by_id(target_leg(target));
	if (!target || !out || !out->ifindex)
		return DROP_NO_HOP;
	if (!(out->flags & LEG_UP))
		return DROP_LEG_DOWN;
	if (p->entry == ENTRY_XDP && !(out->flags & LEG_XDP_TRANSMIT))
		return KERNEL_TC;
	if (target == p->source_target)
		return DROP_LOOP;
	if (unlikely(p->segment_length > out->mtu))
		return too_big(p, out->mtu);
	p->out.target = target;
	p->out.mac = (__u64)(*(const __u32 *)out->mac) | (__u64)(*(const __u16 *)(out->mac + 4)) << 32;
	p->out.ifindex = out->ifindex;
	p->out.hop = hop_id;
	p->out.tags = !!out->tags[0].protocol;
	p->out.capture = !!(out->flags & LEG_CAPTURE);
	return 0;
}

/*
 * The requests of a connection come from somewhere else now: follow them, unless the frame came
 * from a real server of the connection's own service, or is a RST or ABORT anyone may have forged.
 */
static __noinline void follow_last_hop(const struct packet *p, struct connection *connection)
{
	__u32 id;
	struct hop *hop;

	if (p->signals & SIGNAL_RESET || dry_run)
		return;
	id = source_hop(p, EVENT_HOP_MOVE_DENIED);
	hop = hop_by_id(id);
	/* With reply_to = "neighbour" that is often the one it has, whoever sent the frame. */
	if (!id || !hop || id == READ_ONCE(connection->last_hop))
		return;
	if (connection->service != SERVICE_NONE && serves(p->half, connection->service, hop->box)) {
		count(EVENT_HOP_MOVE_DENIED);
		return;
	}
	WRITE_ONCE(connection->last_hop, id);
	count(EVENT_LAST_HOP_MOVED);
}

/* Compare where a packet came from with where the connection says its direction comes from. */
static __always_inline void check_source(const struct packet *p, struct connection *connection,
					 enum direction direction)
{
	struct hop *expected = hop_by_id(direction == REQUEST ? connection->last_hop : connection->forward_hop);

	if (likely(expected && READ_ONCE(expected->target) == p->source_target))
		return;
	if (direction == REQUEST)
		follow_last_hop(p, connection);
	else
		suspect(p, connection);
}

/* Not reasons, but that the table changed meanwhile: the connection ended, or another CPU made it. */
#define CONNECTION_GONE REASONS
#define FIRST_ELSEWHERE (REASONS + 1)

/* A packet of a connection, or an ICMP error about one: to the hop its direction goes to. */
static __always_inline __u32 forward_known(struct packet *p, struct connection *connection)
{
	bool from_low = WORD_FLAGS(p->word) & CONNECTION_FROM_LOW;
	enum direction direction = p->from_low == from_low ? REQUEST : RESPONSE;
	__u32 hop_id = direction == REQUEST ? READ_ONCE(connection->forward_hop) : READ_ONCE(connection->last_hop);
	__u32 reason;

	/* Only now is it certain that the hop was read from this connection and not from a successor. */
	if (unlikely(!still_there(p, READ_ONCE(connection->word))))
		return CONNECTION_GONE;
	reason = way_to(p, hop_id);
	if (unlikely(reason))
		return reason;
	if (unlikely(p->related))
		return FORWARDED_RELATED;
	if (unlikely(p->fragment == FRAGMENT_LATER)) {
		track(p, connection, direction);
		return FORWARDED_FRAGMENT;
	}
	check_source(p, connection, direction);
	track(p, connection, direction);
	return direction == REQUEST ? FORWARDED_REQUEST : FORWARDED_RESPONSE;
}

/*
 * Whether a packet is to be scheduled. In a crowded table new connections go by rendezvous too: where they would go
 * without an entry, so that it makes no difference which of two directors has one, or for how long.
 */
static __always_inline bool to_be_scheduled(const struct packet *p)
{
	if (!p->opening)
		return 0;
	if (likely(!crowded(p->choice.service)))
		return 1;
	count(EVENT_CROWDED);
	return 0;
}

/* A server of a service for a packet that is to be scheduled, or SERVER_NONE. */
static __always_inline __u32 schedule_opening(struct packet *p, const struct service *service)
{
	__u32 server;

	if (unlikely(p->fragment == FRAGMENT_FIRST)) {
		server = early_server(p);
		note_choice(p, CHOSEN_FRAGMENT);
		if (server != SERVER_NONE && usable(server_by_id(p->half, server)))
			return server;
	}
	if (unlikely(service->flags & SERVICE_RELATED)) {
		server = related_server(p);
		note_choice(p, CHOSEN_RELATED);
		if (server != SERVER_NONE)
			return server;
	}
	note_choice(p, CHOSEN_SCHEDULED);
	return service->persistence_ns ? schedule_persistent(p, service) : schedule(p, service);
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
		if (server != SERVER_NONE && still_bound(server_by_id(p->half, server), service))
			return server;
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
	return service->flags & SERVICE_EMPTY_TO_KERNEL ? KERNEL_EMPTY : DROP_EMPTY;
}

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
	if (!last_hop && !dry_run)
		return TABLE_FULL;
	p->choice.last_hop = last_hop;
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
	if (p->choice.service < MAX_SERVICES) {
		index = p->half * MAX_SERVICES + p->choice.service;
		service = bpf_map_lookup_elem(&services, &index);
		p->choice.server = service ? choose_by_rendezvous(p, service) : SERVER_NONE;
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

static __always_inline bool is_local(const struct packet *p)
{
	struct local_key key = { .prefix_length = 128 };

	copy_address(key.address, destination_of(p));
	return bpf_map_lookup_elem(&local, &key) != NULL;
}

/* The server whose own address a packet is for, or SERVER_NONE. */
static __always_inline __u32 addressed_server(const struct packet *p)
{
	struct server_address key = { .zone = p->key.zone };
	__u32 *id;

	copy_address(key.address, destination_of(p));
	id = bpf_map_lookup_elem(&server_addrs, &key);
	return id ? *id : SERVER_NONE;
}

/* The service by address that a packet is for goes to p->choice: exactly its port, or every port. True if there is one. */
__noinline int match_address(struct packet *p, __u32 source_box)
{
	struct virtual_address key = {};
	__u32 *id;

	if (!p)
		return 0;
	copy_address(key.address, destination_of(p));
	key.port = destination_port_of(p);
	key.zone = p->key.zone;
	key.ip_proto = p->ip_proto;
	key.half = p->half;
	id = bpf_map_lookup_elem(&virtual_addrs, &key);
	if (!id) {
		key.port = 0;
		id = bpf_map_lookup_elem(&virtual_addrs, &key);
	}
	if (!id || p->related || serves(p->half, *id, source_box))
		return 0;
	p->choice.service = *id;
	return 1;
}

/* Whether a packet from the middle of a connection is not to be taken up (LVS: sloppy_tcp, sloppy_sctp). */
static __always_inline bool too_late(const struct packet *p, const struct ruleset *ruleset)
{
	__u32 strict = p->ip_proto == IPPROTO_TCP    ? RULESET_STRICT_TCP
		       : p->ip_proto == IPPROTO_SCTP ? RULESET_STRICT_SCTP
						     : 0;

	return ruleset->flags & strict && !p->opening && !p->related && p->fragment != FRAGMENT_LATER;
}

/* Choose for a packet whose service is known: 0, or the reason why it goes nowhere. */
static __always_inline __u32 assign_by(struct packet *p, const struct ruleset *ruleset)
{
	if (unlikely(too_late(p, ruleset) && !(p->choice.flags & CONNECTION_MOVED)))
		return DROP_MIDSTREAM;
	return assign(p);
}

/* The service of a packet of no known connection, or the server it is for, goes to p->choice: 0, or the reason. */
__noinline __u32 classify(struct packet *p)
{
	__u32 source_box = NO_BOX, half;
	struct ruleset *ruleset;
	struct hop *source;

	if (!p)
		return KERNEL_NO_RULE;
	half = p->half;
	ruleset = bpf_map_lookup_elem(&rulesets, &half);
	if (!ruleset)
		return KERNEL_NO_RULE;
	p->source_hop = known_source_hop(p);
	source = hop_by_id(p->source_hop);
	if (p->source_hop && source)
		source_box = source->box;
	if (match_rules(p, 0, ruleset->pass_count, source_box))
		return KERNEL_PASS_RULE;
	if (unlikely(ruleset->flags & RULESET_ADDRESSES) && match_address(p, source_box))
		return assign_by(p, ruleset);
	if (is_local(p))
		return KERNEL_LOCAL;
	p->choice.server = addressed_server(p);
	if (p->choice.server != SERVER_NONE) {
		p->choice.service = SERVICE_NONE;
		note_choice(p, CHOSEN_ADDRESS);
		return 0;
	}
	if (!match_rules(p, ruleset->pass_count, ruleset->rule_count - ruleset->pass_count, source_box))
		return KERNEL_NO_RULE;
	return assign_by(p, ruleset);
}

/* A packet of no known connection: rules, services, and last the kernel. */
static __always_inline __u32 forward_unknown(struct packet *p)
{
	__u32 reason;

	if (unlikely(p->fragment == FRAGMENT_LATER && !p->related))
		count(EVENT_FRAGMENT_EARLY);
	p->choice.flags &= CONNECTION_MOVED;
	p->choice.prefix = 0;
	reason = classify(p);
	return reason ? reason : forward_new(p);
}
