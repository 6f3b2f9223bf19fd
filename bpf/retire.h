/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Live counters of the table: moved by whoever wins the change of a connection's word, repaired by the director. */
#pragma once

#include "account.h"
#include "bucket.h"
#include "persistence.h"
#include "record.h"
#include "tcp_state.h"

static __always_inline struct server_load *load_of(__u32 server)
{
	return bpf_map_lookup_elem(&server_loads, &server);
}

/* Move a live counter, and count the change: see struct service_load. */
static __always_inline void adjust(__u32 *counter, int by)
{
	__sync_fetch_and_add((__u64 *)counter, (1ULL << 32) + (__s64)by);
}

/* Move the live counters of a server by one connection. */
static __always_inline void adjust_load(__u32 service, __u32 server, __u32 state, int by)
{
	struct server_load *load;

	if (service == SERVICE_NONE)
		return;
	load = load_of(server);
	if (!load)
		return;
	adjust(state_active(state) ? &load->active : &load->inactive, by);
}

static __always_inline void adjust_unassured(__u32 service, int by)
{
	struct table *shared = the_table();
	struct service_load *load = bpf_map_lookup_elem(&service_loads, &service);

	if (shared)
		adjust(&shared->unassured, by);
	if (load)
		adjust(&load->unassured, by);
}

static __always_inline void adjust_live(int by)
{
	struct table *shared = the_table();

	if (shared)
		adjust(&shared->live, by);
}

static __always_inline void adjust_overflowed(__u32 flags, int by)
{
	struct table *shared = the_table();

	if (flags & CONNECTION_OVERFLOW && shared)
		adjust(&shared->overflowed, by);
}

/* Whether a server that was overloaded takes new connections again with so many. */
static __always_inline bool relieved(const struct server_load *load, __u32 total)
{
	return load->lower ? total < load->lower : (__u64)total * 4 < (__u64)load->upper * 3;
}

/* Whether a server with thresholds takes new connections, after one came or went (LVS: ip_vs_bind_dest, ip_vs_unbind_dest). */
static __always_inline void judge_load(__u32 service, __u32 server, int by)
{
	struct server_load *load = service == SERVICE_NONE ? NULL : load_of(server);
	__u32 total, upper;

	if (!load || likely(!READ_ONCE(load->upper)))
		return;
	upper = load->upper;
	total = READ_ONCE(load->active) + READ_ONCE(load->inactive);
	if (by > 0 && total >= upper)
		WRITE_ONCE(load->overloaded, 1);
	if (by < 0 && relieved(load, total))
		WRITE_ONCE(load->overloaded, 0);
}

/* Count a connection with this word in (1) or out (-1). */
__noinline int count_connection(__u32 service, __u32 server, __u64 word, int by)
{
	adjust_load(service, server, WORD_STATE(word), by);
	judge_load(service, server, by);
	if (!(WORD_FLAGS(word) & CONNECTION_ASSURED))
		adjust_unassured(service, by);
	adjust_overflowed(WORD_FLAGS(word), by);
	adjust_live(by);
	return 0;
}

/* Whether a live counter has reached a number: one that a lost update left below zero has not. */
static __always_inline bool reached(const __u32 *counter, __u32 number)
{
	return (__s32)READ_ONCE(*counter) >= (__s32)number;
}

/* Whether there are so many unassured connections, in all or of a service, that no more are remembered. */
static __always_inline bool over_quota(__u32 service)
{
	struct table *shared = the_table();
	struct service_load *load = bpf_map_lookup_elem(&service_loads, &service);

	return (shared && reached(&shared->unassured, quota_total)) ||
	       (load && reached(&load->unassured, quota_service));
}

/* Whether this director, or another with as big a table, may soon have to forward without remembering. */
static __always_inline bool crowded(__u32 service)
{
	struct table *shared = the_table();
	struct service_load *load = bpf_map_lookup_elem(&service_loads, &service);

	return (shared &&
		(reached(&shared->live, promised) || reached(&shared->unassured, quota_total - quota_total / 8))) ||
	       (load && reached(&load->unassured, quota_service - quota_service / 8));
}

/* Give a slot back, whose entry is nobody's already. */
static __always_inline void free_slot(__u32 which, __u32 slot)
{
	struct bucket *bucket = bucket_at(which, slot / WAYS);

	if (bucket && !dry_run)
		__sync_lock_test_and_set(&bucket->tag[slot % WAYS], 0);
}

/* A dry run takes nothing out: it notes whose load has one less. */
static __always_inline void note_retired(const struct connection *connection, __u64 word)
{
	struct record *r = the_record();

	if (!r || !connection || connection->service == SERVICE_NONE)
		return;
	r->retired_server = connection->server + 1;
	r->retired_active = state_active(WORD_STATE(word));
}

/*
 * Take a connection out whose word was `word`. 1 for the one caller that did: the slot is its own then, to free or to
 * use again.
 */
__noinline int retire(__u32 which, __u32 slot, __u64 word)
{
	struct connection *connection = connection_at(which, slot);
	__u32 flags = WORD_FLAGS(word);

	if (dry_run) {
		note_retired(connection, word);
		return 1;
	}
	if (!connection || !(flags & CONNECTION_LIVE) ||
	    __sync_val_compare_and_swap(&connection->word, word, word & WORD_GENERATION) != word)
		return 0;
	count_connection(connection->service, connection->server, word, -1);
	account_ended(connection);
	if (flags & CONNECTION_PERSISTENT)
		leave_template(&connection->key, connection->service, connection->persistence_prefix,
			       flags & CONNECTION_FROM_LOW);
	return 1;
}
