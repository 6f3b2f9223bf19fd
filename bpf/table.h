/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connection table as a packet meets it: find, insert, retire. Nothing else touches tags and entries. */
#pragma once

#include "insert.h"

/* Looks for a connection that another CPU is inserting; it takes that CPU a few hundred nanoseconds. */
#define PATIENCE 1024

/* The live connection of the packet's key in both tables, expired or not: where it is goes into the packet. */
static __always_inline struct connection *look_up(struct packet *p)
{
	__u32 found = look_first(p);

	p->table = TABLE_MAIN;
	if (!found)
		found = look_everywhere(p, TABLE_MAIN, CONNECTION_LIVE, NO_SLOT);
	if (table_role != ROLE_ALONE && !found) {
		found = look_everywhere(p, TABLE_NEXT, CONNECTION_LIVE, NO_SLOT);
		p->table = TABLE_NEXT;
	}
	p->slot = SLOT(found);
	return found ? connection_at(p->table, p->slot) : NULL;
}

/* The connection of a packet, expired or not, or NULL. */
static __always_inline struct connection *find_connection(struct packet *p)
{
	struct table *shared = the_table();

	if (!shared)
		return NULL;
	p->hash = hash_of(&p->key, shared->secret);
	return look_up(p);
}

static long look_once_more(__attribute__((unused)) __u32 round, struct packet **p)
{
	return look_up(*p) ||
	       !(look_everywhere(*p, TABLE_MAIN, CONNECTION_PENDING, NO_SLOT) ||
		 (table_role != ROLE_ALONE && look_everywhere(*p, TABLE_NEXT, CONNECTION_PENDING, NO_SLOT)));
}

/* The connection that another CPU is about to insert: waits until it is live, or there is none, or for too long. */
static __always_inline struct connection *await_connection(struct packet *p)
{
	struct packet *context = p;

	bpf_loop(PATIENCE, look_once_more, &context, 0);
	return look_up(p);
}

/* Take the connection that was found out. True for the one caller that did. */
static __always_inline bool retire_found(const struct packet *p)
{
	if (!retire(p->table, p->slot, p->word))
		return 0;
	free_slot(p->table, p->slot);
	return 1;
}
