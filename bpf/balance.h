/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The path of a packet through the director, in order. */
#pragma once

#include "death.h"

/* Take a connection out that has ended before this packet. An ICMP error is not the one to do it. */
static __always_inline void end(const struct packet *p, const struct connection *connection,
				const struct ruleset *ruleset)
{
	__u32 event = expired(connection, ruleset, p->now_ns) ? EVENT_EXPIRED
		      : reused(p, ruleset)		      ? EVENT_REUSED
							      : EVENT_SERVER_GONE;

	if (!p->related && retire_found(p))
		count(event);
}

/* Take the connection of a dead server out, which begins anew with this packet. An ICMP error is not the one to do it. */
static __always_inline void move_on(struct packet *p)
{
	p->choice.flags |= CONNECTION_MOVED;
	if (!p->related && retire_found(p))
		count(EVENT_MOVED);
}

/* Another CPU remembers this packet's connection: forward as that says. */
static __noinline __u32 follow_first(struct packet *p)
{
	struct connection *connection = await_connection(p);
	__u32 reason = connection ? forward_known(p, connection) : CONNECTION_GONE;

	/* It came and went within one packet's time: nothing is known that this packet could follow. */
	return reason == CONNECTION_GONE ? DROP_CONTENDED : reason;
}

/*
 * What to do with a packet that was parsed: returns the reason that is counted; for a forwarded packet p->out is set.
 * Verified on its own, for tc and XDP alike: it touches no byte of the frame.
 */
__noinline __u32 decide(struct packet *p)
{
	struct connection *connection;
	struct ruleset *ruleset;
	__u32 half, reason;

	if (!p)
		return KERNEL_NO_LEG;
	half = p->half;
	ruleset = bpf_map_lookup_elem(&rulesets, &half);
	if (!ruleset)
		return KERNEL_NO_LEG;
	connection = find_connection(p);
	if (connection && unlikely(over(p, connection, ruleset))) {
		/* XDP changes nothing before it knows that it can forward. */
		if (p->entry == ENTRY_XDP)
			return KERNEL_TC;
		end(p, connection, ruleset);
		connection = NULL;
	}
	if (connection && unlikely(ruleset->flags & RULESET_DEATHS)) {
		reason = after_death(p);
		if (reason == TO_BE_MOVED) {
			if (p->entry == ENTRY_XDP)
				return KERNEL_TC;
			move_on(p);
			connection = NULL;
		} else if (reason != NOT_DEAD) {
			return reason;
		}
	}
	if (likely(connection)) {
		reason = forward_known(p, connection);
		if (likely(reason != CONNECTION_GONE))
			return reason;
	}
	reason = forward_unknown(p);
	return likely(reason != FIRST_ELSEWHERE) ? reason : follow_first(p);
}

static __always_inline void rewrite(const struct packet *p, struct ethhdr *eth)
{
	*(__u32 *)eth->h_dest = (__u32)p->out.target;
	*(__u16 *)(eth->h_dest + 4) = (__u16)(p->out.target >> 32);
	*(__u32 *)eth->h_source = (__u32)p->out.mac;
	*(__u16 *)(eth->h_source + 4) = (__u16)(p->out.mac >> 32);
}

/* Returns the reason that is counted; a forwarded frame has its new MAC addresses, and p->out says where it goes. */
static __always_inline __u32 balance(struct packet *p, const struct frame *f, __u32 ifindex)
{
	__u32 zero = 0, reason;
	struct live *state;

	reason = parse_ethernet(f);
	if (reason)
		return reason;
	reason = find_leg(p, f, ifindex);
	if (reason)
		return reason;
	reason = parse_ipv4(p, f);
	if (reason)
		return reason;
	state = bpf_map_lookup_elem(&live, &zero);
	if (!state)
		return KERNEL_NO_LEG;
	p->half = READ_ONCE(state->half) & 1;
	p->now_ns = bpf_ktime_get_coarse_ns();
	reason = decide(p);
	if (likely(reason < KERNEL_FIRST && reason != FORWARDED_RESET))
		rewrite(p, f->eth);
	return reason;
}
