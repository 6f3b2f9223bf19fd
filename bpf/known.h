/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A packet of a known connection: to the hop its direction goes to, while its requests teach where responses go. Nothing above
 * layer 2 is written.
 */
#pragma once

#include "sample.h"
#include "way.h"

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
