/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The path of a packet through the director, in order. */
#pragma once

#include "death.h"
#include "ethernet.h"
#include "ip.h"
#include "probe.h"
#include "takeover.h"

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

/* Where the other fragments of its datagram went, although there is no connection any more or never was. */
static __noinline __u32 forward_fragment(struct packet *p)
{
	const struct fragment *note = note_of(p);
	__u32 reason;

	if (!note)
		return CONNECTION_GONE;
	note_choice(p, CHOSEN_FRAGMENT);
	if (note->kind == NOTE_PASSED)
		return KERNEL_PASS_RULE;
	reason = way_to(p, note->hop);
	if (reason)
		return reason;
	account_packet(note->service, note->server, p->segments, p->length);
	return FORWARDED_FRAGMENT;
}

/* Go by the connection that was found: a reason, or CONNECTION_GONE if the packet has none now. */
static __always_inline __u32 forward_found(struct packet *p, struct connection *connection,
					   const struct ruleset *ruleset)
{
	__u32 reason;

	if (unlikely(over(p, connection, ruleset))) {
		if (taking_over && takeover_phase() == TAKEOVER_KNOWN)
			return LEFT_TO_FORMER;
		note_found(p, 1);
		/* XDP changes nothing before it knows that it can forward. */
		if (p->entry == ENTRY_XDP)
			return KERNEL_TC;
		end(p, connection, ruleset);
		return CONNECTION_GONE;
	}
	note_found(p, 0);
	note_choice(p, CHOSEN_BEFORE);
	if (unlikely(ruleset->flags & (RULESET_DEATHS | RULESET_BYPASSES))) {
		reason = after_death(p);
		if (reason == TO_BE_MOVED) {
			if (p->entry == ENTRY_XDP)
				return KERNEL_TC;
			if (taking_over && takeover_phase() == TAKEOVER_KNOWN)
				return LEFT_TO_FORMER;
			move_on(p);
			return CONNECTION_GONE;
		}
		if (reason != NOT_DEAD)
			return reason;
	}
	return forward_known(p, connection);
}

/*
 * What to do with a packet that was parsed: returns the reason that is counted; for a forwarded packet p->out is set.
 * Verified on its own, for tc and XDP alike: it touches no byte of the frame.
 */
__noinline __u32 decide(struct packet *p)
{
	struct connection *connection;
	struct ruleset *ruleset;
	__u32 half, reason = CONNECTION_GONE;
	bool keyed = 1;

	if (!p)
		return KERNEL_NO_LEG;
	half = p->half;
	ruleset = bpf_map_lookup_elem(&rulesets, &half);
	if (!ruleset)
		return KERNEL_NO_LEG;
	if (unlikely(p->fragment == FRAGMENT_LATER))
		keyed = adopt_first(p);
	connection = likely(keyed) ? find_connection(p) : NULL;
	if (taking_over && !connection && may_be_formers(p))
		return LEFT_TO_FORMER;
	if (likely(connection))
		reason = forward_found(p, connection, ruleset);
	if (likely(reason != CONNECTION_GONE))
		return reason;
	if (unlikely(p->fragment == FRAGMENT_LATER && !p->related)) {
		reason = forward_fragment(p);
		if (reason != CONNECTION_GONE)
			return reason;
	}
	reason = forward_unknown(p);
	return likely(reason != FIRST_ELSEWHERE) ? reason : follow_first(p);
}

/* Returns the reason that is counted; for a forwarded packet p->out says where it goes, but it is as it came still. */
static __always_inline __u32 balance(struct packet *p, struct frame *f, __u32 ifindex, void *context, enum entry entry)
{
	__u32 zero = 0, reason;
	struct live *state;

	reason = parse_ethernet(f);
	if (reason)
		return reason;
	reason = find_leg(p, f, ifindex);
	if (reason)
		return reason;
	p->length -= (__u32)(f->ip - (void *)(f->eth + 1));
	reason = entry == ENTRY_TC ? parse_skb(p, f, context) : parse_xdp(p, f, context);
	if (reason)
		return reason;
	state = bpf_map_lookup_elem(&live, &zero);
	if (!state)
		return KERNEL_NO_LEG;
	p->half = READ_ONCE(state->half) & 1;
	p->now_ns = bpf_ktime_get_coarse_ns();
	if (unlikely(may_be_probe(p, state->probe_port))) {
		reason = entry == ENTRY_TC ? probe_reason(context, p, f, state->probe_port) : KERNEL_TC;
		if (reason)
			return reason;
	}
	reason = decide(p);
	if (taking_over && reason == LEFT_TO_FORMER)
		return reason;
	if (unlikely(p->fragment != FRAGMENT_NONE || p->first_of_error))
		note_for_others(p, f, reason);
	return reason;
}
