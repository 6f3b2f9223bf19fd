/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The path of a packet through the director, in order. */
#pragma once

#include "forward.h"

/* Take a connection out that has ended before this packet. An ICMP error is not the one to do it. */
static __always_inline void end(const struct packet *p, struct connection *connection, const struct ruleset *ruleset)
{
	__u32 event = expired(connection, ruleset, p->now_ns) ? EVENT_EXPIRED : EVENT_REUSED;

	if (!p->related && retire(&p->key, connection))
		count(event);
}

/* Returns the reason that is counted; for a forwarded packet `out_ifindex` is set. */
static __always_inline __u32 balance(struct packet *p, __u32 *out_ifindex)
{
	__u32 zero = 0, reason;
	struct connection *connection;
	struct ruleset *ruleset;
	struct live *state;

	reason = parse_ethernet(p);
	if (reason)
		return reason;
	reason = find_leg(p);
	if (reason)
		return reason;
	reason = parse_ipv4(p);
	if (reason)
		return reason;
	state = bpf_map_lookup_elem(&live, &zero);
	if (!state)
		return KERNEL_NO_LEG;
	p->half = READ_ONCE(state->half) & 1;
	ruleset = bpf_map_lookup_elem(&rulesets, &p->half);
	if (!ruleset)
		return KERNEL_NO_LEG;
	p->now_ns = bpf_ktime_get_coarse_ns();
	connection = find_connection(p);
	if (connection && unlikely(over(p, connection, ruleset))) {
		/* XDP changes nothing before it knows that it can forward. */
		if (p->entry == ENTRY_XDP)
			return KERNEL_TC;
		end(p, connection, ruleset);
		connection = NULL;
	}
	if (likely(connection)) {
		reason = forward_known(p, connection, out_ifindex);
		if (likely(reason != CONNECTION_GONE))
			return reason;
	}
	reason = forward_unknown(p, ruleset, out_ifindex);
	if (likely(reason != FIRST_ELSEWHERE))
		return reason;
	connection = find_connection(p);
	reason = connection ? forward_known(p, connection, out_ifindex) : CONNECTION_GONE;
	/* It came and went within one packet's time: nothing is known that this packet could follow. */
	return reason == CONNECTION_GONE ? DROP_CONTENDED : reason;
}
