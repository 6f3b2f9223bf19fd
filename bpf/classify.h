/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet without a connection is for: pass rules, services by address, the director, a real server, mark rules. */
#pragma once

#include "assign.h"
#include "local.h"

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
	if (!id || serves(p->half, *id, source_box))
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
	if (is_local(destination_of(p)))
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
