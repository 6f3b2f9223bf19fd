/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to a packet: of a known connection, or of none yet. A function here returns the
 * reason that is counted; when that is one of the FORWARDED group, the frame has its new MAC
 * addresses and `out_ifindex` says where it goes. Nothing above layer 2 is written.
 */
#pragma once

#include "hop.h"
#include "schedule.h"
#include "table.h"

/* Whether the frame can go to a hop: 0, or the reason why not. `target` and `out` are set on 0. */
static __always_inline __u32 may_forward(const struct packet *p, __u32 hop_id, __u64 *target, struct leg **out)
{
	struct hop *hop = hop_by_id(hop_id);

	if (!hop)
		return DROP_NO_HOP;
	*target = READ_ONCE(hop->target);
	*out = leg_by_id(target_leg(*target));
	if (!*target || !*out || !(*out)->ifindex)
		return DROP_NO_HOP;
	if (!((*out)->flags & LEG_UP))
		return DROP_LEG_DOWN;
	if (p->entry == ENTRY_XDP && !((*out)->flags & LEG_XDP_TRANSMIT))
		return KERNEL_TC;
	if (*target == target_word(p->leg_id, p->eth->h_source))
		return DROP_LOOP;
	if (p->segment_length > (*out)->mtu)
		return KERNEL_TOO_BIG;
	return 0;
}

static __always_inline void rewrite(const struct packet *p, __u64 target, const struct leg *out, __u32 *out_ifindex)
{
	*(__u32 *)p->eth->h_dest = (__u32)target;
	*(__u16 *)(p->eth->h_dest + 4) = (__u16)(target >> 32);
	__builtin_memcpy(p->eth->h_source, out->mac, ETH_ALEN);
	*out_ifindex = out->ifindex;
}

/*
 * The requests of a connection come from somewhere else now: follow them, unless the frame came
 * from a real server of the connection's own service, or is a RST anyone may have forged.
 */
static __noinline void follow_last_hop(const struct packet *p, struct connection *connection)
{
	__u32 id;
	struct hop *hop;

	if (p->tcp_flags & TCP_RST)
		return;
	id = source_hop(p);
	hop = hop_by_id(id);
	if (!id || !hop) {
		count(EVENT_HOPS_FULL);
		return;
	}
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

	if (likely(expected && READ_ONCE(expected->target) == target_word(p->leg_id, p->eth->h_source)))
		return;
	if (direction == REQUEST)
		follow_last_hop(p, connection);
	else
		count(EVENT_ASYMMETRIC);
}

/* Not reasons, but that the table changed meanwhile: the connection ended, or another CPU made it. */
#define CONNECTION_GONE REASONS
#define FIRST_ELSEWHERE (REASONS + 1)

/* A packet of a connection, or an ICMP error about one: to the hop its direction goes to. */
static __noinline __u32 forward_known(const struct packet *p, struct connection *connection, __u32 *out_ifindex)
{
	__u32 hop_id;
	bool from_low = WORD_FLAGS(READ_ONCE(connection->word)) & CONNECTION_FROM_LOW;
	enum direction direction = p->from_low == from_low ? REQUEST : RESPONSE;
	struct leg *out;
	__u64 target;
	__u32 reason;

	hop_id = READ_ONCE(*(direction == REQUEST ? &connection->forward_hop : &connection->last_hop));
	/* Only now is it certain that the hop was read from this connection and not from a successor. */
	if (unlikely(!still_there(p, connection)))
		return CONNECTION_GONE;
	reason = may_forward(p, hop_id, &target, &out);
	if (unlikely(reason))
		return reason;
	if (!p->related) {
		check_source(p, connection, direction);
		track(p, connection, direction);
	}
	rewrite(p, target, out, out_ifindex);
	if (p->related)
		return FORWARDED_RELATED;
	return direction == REQUEST ? FORWARDED_REQUEST : FORWARDED_RESPONSE;
}

/* What a service does with a packet: the server, or SERVER_NONE with the reason. */
static __always_inline __u32 assign(const struct packet *p, __u32 service_id, __u32 *flags, __u8 *prefix, __u32 *reason)
{
	__u32 index = p->half * MAX_SERVICES + service_id;
	struct service *service = bpf_map_lookup_elem(&services, &index);
	__u32 server;

	*reason = DROP_EMPTY;
	if (!service)
		return SERVER_NONE;
	if (p->entry == ENTRY_XDP && !(service->flags & SERVICE_XDP)) {
		*reason = KERNEL_TC;
		return SERVER_NONE;
	}
	if (p->segment_length > service->mtu) {
		*reason = KERNEL_TOO_BIG;
		return SERVER_NONE;
	}
	*prefix = service->persistence_prefix;
	if (!p->opening)
		server = choose_by_rendezvous(p, service_id, service);
	else if (service->persistence_ns)
		server = schedule_persistent(p, service_id, service, flags);
	else
		server = schedule(p, service_id, service);
	if (server == SERVER_NONE && service->flags & SERVICE_EMPTY_TO_KERNEL)
		*reason = KERNEL_EMPTY;
	return server;
}

/* Nothing to remember a connection by: an ICMP error, or a RST, which anyone may have forged. */
static __always_inline bool stray(const struct packet *p)
{
	return p->related || p->tcp_flags & TCP_RST;
}

/* Remember the connection with its last hop. TABLE_FULL also where there is nothing to remember it by. */
static __always_inline enum insertion remember(const struct packet *p, struct connection *fresh, __u32 flags)
{
	if (stray(p))
		return TABLE_FULL;
	fresh->last_hop = source_hop(p);
	if (!fresh->last_hop) {
		count(EVENT_HOPS_FULL);
		return TABLE_FULL;
	}
	return insert_connection(p, fresh, flags);
}

/*
 * Where a packet goes that cannot be remembered: by rendezvous, whatever was scheduled, because
 * the connection's other packets will find no entry either and go there, on both directors.
 */
static __noinline __u32 choose_stateless(const struct packet *p, __u32 service_id, __u32 scheduled)
{
	__u32 index = p->half * MAX_SERVICES + service_id;
	struct service *service;

	if (service_id >= MAX_SERVICES)
		return scheduled;
	service = bpf_map_lookup_elem(&services, &index);
	return service ? choose_by_rendezvous(p, service_id, service) : SERVER_NONE;
}

/* Send a packet to a server's hop: 0 and the new addresses, or the reason why not. */
static __noinline __u32 send_to(const struct packet *p, __u32 server_id, __u32 *out_ifindex)
{
	struct server *server = server_by_id(p->half, server_id);
	struct leg *out;
	__u64 target;
	__u32 reason = server && server->hop ? may_forward(p, server->hop, &target, &out) : DROP_NO_HOP;

	if (!reason)
		rewrite(p, target, out, out_ifindex);
	return reason;
}

/* Send a packet without a connection to a server, and remember the connection. */
static __always_inline __u32 forward_new(struct packet *p, __u32 service_id, __u32 server_id, __u32 flags, __u8 prefix,
					 __u32 *out_ifindex)
{
	struct server *server = server_by_id(p->half, server_id);
	struct connection fresh = { .service = service_id, .server = server_id, .persistence_prefix = prefix };
	__u32 reason = server && server->hop ? 0 : DROP_NO_HOP;
	enum insertion insertion = TABLE_FULL;
	struct leg *out;
	__u64 target;

	if (!reason)
		reason = may_forward(p, server->hop, &target, &out);
	if (!reason) {
		fresh.forward_hop = server->hop;
		insertion = remember(p, &fresh, flags);
	}
	if (insertion != INSERTED && flags & CONNECTION_PERSISTENT)
		leave_template(&p->key, &fresh, p->from_low);
	if (reason)
		return reason;
	if (insertion == CONTENDED)
		return FIRST_ELSEWHERE;
	if (insertion == INSERTED) {
		rewrite(p, target, out, out_ifindex);
		return p->opening ? FORWARDED_OPENING : FORWARDED_MIDSTREAM;
	}
	reason = send_to(p, choose_stateless(p, service_id, server_id), out_ifindex);
	if (reason)
		return reason;
	return stray(p) ? FORWARDED_STRAY : FORWARDED_UNTRACKED;
}

static __always_inline bool is_local(const struct packet *p)
{
	struct local_key key = { .prefix_length = 128 };

	store_v4(key.address, p->destination);
	return bpf_map_lookup_elem(&local, &key) != NULL;
}

/* The server whose own address a packet is for, or SERVER_NONE. */
static __always_inline __u32 addressed_server(const struct packet *p)
{
	struct server_address key = { .zone = p->key.zone };
	__u32 *id;

	store_v4(key.address, p->destination);
	id = bpf_map_lookup_elem(&server_addrs, &key);
	return id ? *id : SERVER_NONE;
}

/* A packet of no known connection: rules, services, and last the kernel. */
static __always_inline __u32 forward_unknown(struct packet *p, const struct ruleset *ruleset, __u32 *out_ifindex)
{
	__u32 service_id, server_id, source_box = NO_BOX, flags = 0, reason;
	struct hop *source;
	__u8 prefix = 0;

	p->source_hop = known_source_hop(p);
	source = hop_by_id(p->source_hop);
	if (p->source_hop && source)
		source_box = source->box;
	if (match_rules(p, 0, ruleset->pass_count, source_box, &service_id))
		return KERNEL_PASS_RULE;
	if (is_local(p))
		return KERNEL_LOCAL;
	server_id = addressed_server(p);
	if (server_id != SERVER_NONE)
		return forward_new(p, SERVICE_NONE, server_id, 0, 0, out_ifindex);
	if (!match_rules(p, ruleset->pass_count, ruleset->rule_count - ruleset->pass_count, source_box, &service_id))
		return KERNEL_NO_RULE;
	server_id = assign(p, service_id, &flags, &prefix, &reason);
	if (server_id == SERVER_NONE)
		return reason;
	return forward_new(p, service_id, server_id, flags, prefix, out_ifindex);
}
