/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Statistics of real servers, without a write per packet: a connection counts its own packets, and gives its counts to
 * its real server when it is over. What the live ones have counted so far is added by the sweep's census.
 */
#pragma once

#include "count.h"

static __always_inline struct account *account_of(__u32 service, __u32 server)
{
	return dry_run || service == SERVICE_NONE ? NULL : bpf_map_lookup_elem(&accounts, &server);
}

/* A connection was given to a real server. */
static __always_inline void account_connection(__u32 service, __u32 server)
{
	struct account *account = account_of(service, server);

	if (account)
		__sync_fetch_and_add(&account->over.connections, 1);
}

/* A connection is over, and its counts do not change any more. */
static __always_inline void account_ended(const struct connection *connection)
{
	struct account *account = account_of(connection->service, connection->server);

	if (!account)
		return;
	for (int i = 0; i < DIRECTIONS; i++) {
		__sync_fetch_and_add(&account->over.packets[i], READ_ONCE(connection->packets[i]));
		__sync_fetch_and_add(&account->over.bytes[i], READ_ONCE(connection->bytes[i]));
	}
}

/* A packet was sent to a real server without an entry that could count it. */
static __always_inline void account_packet(__u32 service, __u32 server, __u32 segments, __u32 length)
{
	struct account *account = account_of(service, server);

	if (!account)
		return;
	__sync_fetch_and_add(&account->over.packets[REQUEST], segments);
	__sync_fetch_and_add(&account->over.bytes[REQUEST], length);
}
