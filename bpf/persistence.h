/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Persistence templates: same client, same real server. Semantics are those of an LVS fwmark
 * service (ip_vs_sched_persist): all ports and protocols of the mark together, the time-out
 * restarted by each new connection, a template with live children never expires.
 */
#pragma once

#include "count.h"
#include "packet.h"

/* One of the four words of a prefix' mask. */
static __always_inline __be32 mask_word(__u32 prefix, __u32 word)
{
	__u32 before = word * 32;

	if (prefix <= before)
		return 0;
	return htonl(prefix >= before + 32 ? ~0U : ~(~0U >> (prefix - before)));
}

static __always_inline void template_key(struct template_key *key, __u32 service, const __u8 *client, __u32 prefix)
{
	const __u32 *from = (const __u32 *)client;
	__u32 *to = (__u32 *)key->client;

	key->service = service;
	to[0] = from[0] & mask_word(prefix, 0);
	to[1] = from[1] & mask_word(prefix, 1);
	to[2] = from[2] & mask_word(prefix, 2);
	to[3] = from[3] & mask_word(prefix, 3);
}

static __always_inline void adjust_persistent(__u32 server, int by)
{
	struct server_load *load = bpf_map_lookup_elem(&server_loads, &server);

	if (load)
		__sync_fetch_and_add(&load->persistent, by);
}

static __always_inline __u32 children_of(const struct template *template)
{
	return READ_ONCE(template->children) & ~(__u32)TEMPLATE_ASSURED;
}

static __always_inline bool template_expired(const struct template *template, __u64 now_ns)
{
	return children_of(template) == 0 && now_ns > READ_ONCE(template->expires_ns);
}

/* One child less for the template that a connection was scheduled by. */
static __always_inline void leave_template(const struct connection_key *key, __u32 service, __u32 prefix, bool from_low)
{
	struct template_key template_id = {};
	struct template *template;

	if (dry_run)
		return;
	template_key(&template_id, service, from_low ? key->low : key->high, prefix);
	template = bpf_map_lookup_elem(&templates, &template_id);
	if (template && children_of(template))
		__sync_fetch_and_add(&template->children, -1);
}

/* The server a client is bound to, or SERVER_NONE. */
static __always_inline __u32 bound_server(const struct template_key *key, __u64 now_ns)
{
	struct template *template = bpf_map_lookup_elem(&templates, key);

	if (!template || template_expired(template, now_ns))
		return SERVER_NONE;
	return READ_ONCE(template->server);
}

/* Make a template, or find that another CPU made it. Returns the server it binds to. */
static __always_inline __u32 make_template(const struct template_key *key, __u32 server, __u64 expires_ns)
{
	struct template fresh = { .expires_ns = expires_ns, .server = server, .children = 1 };
	struct template *winner;

	if (!bpf_map_update_elem(&templates, key, &fresh, BPF_NOEXIST)) {
		adjust_persistent(server, 1);
		return server;
	}
	winner = bpf_map_lookup_elem(&templates, key);
	if (!winner) {
		count(EVENT_TEMPLATES_FULL);
		return SERVER_NONE;
	}
	__sync_fetch_and_add(&winner->children, 1);
	server = READ_ONCE(winner->server);
	if (server == SERVER_NONE)
		__sync_fetch_and_add(&winner->children, -1);
	return server;
}

/*
 * Bind a client to `server` and count a child; `seen` is what it was bound to when `server` was
 * chosen. Returns the server it is bound to in the end, which another CPU may have decided, or
 * SERVER_NONE if no template could be kept: then nothing was counted.
 *
 * The child is counted before the binding is read, and the sweep retires a binding before it
 * reads the children, so that not both can overlook the other.
 */
static __always_inline __u32 join_template(const struct template_key *key, __u32 seen, __u32 server, __u64 expires_ns)
{
	struct template *template = bpf_map_lookup_elem(&templates, key);
	__u32 bound;

	if (dry_run)
		return server;
	if (!template)
		return make_template(key, server, expires_ns);
	__sync_fetch_and_add(&template->children, 1);
	WRITE_ONCE(template->expires_ns, expires_ns);
	bound = READ_ONCE(template->server);
	if (bound != server && bound != SERVER_NONE && (seen == SERVER_NONE || bound == seen)) {
		__u32 before = __sync_val_compare_and_swap(&template->server, bound, server);

		if (before == bound) {
			adjust_persistent(bound, -1);
			adjust_persistent(server, 1);
		}
		bound = before == bound ? server : before;
	}
	if (bound == SERVER_NONE)
		__sync_fetch_and_add(&template->children, -1);
	return bound;
}

/* Forget a template whose time is over. True if it is gone. */
static __always_inline bool sweep_template(const struct template_key *key, struct template *template, __u64 now_ns)
{
	__u32 server = READ_ONCE(template->server);

	if (!template_expired(template, now_ns) || server == SERVER_NONE ||
	    __sync_val_compare_and_swap(&template->server, server, SERVER_NONE) != server)
		return 0;
	if (children_of(template)) {
		WRITE_ONCE(template->server, server);
		return 0;
	}
	adjust_persistent(server, -1);
	bpf_map_delete_elem(&templates, key);
	return 1;
}
