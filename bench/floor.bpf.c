/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The floor under any connection table of this layout: the same keyed hash of the same key, one line of tags, the two
 * lines of one entry, of which the second is written, and swapped MAC addresses. It compares nothing and decides nothing.
 */
#include "bucket.h"

char _license[] SEC("license") = "Dual BSD/GPL";

static __always_inline bool touch(const struct frame *f)
{
	const struct iphdr *ip = (const void *)(f->eth + 1);
	const __be16 *ports = (const void *)(ip + 1);
	struct connection_key key = {};
	struct table *shared = the_table();
	struct connection *connection;
	struct bucket *bucket;
	__u32 index;
	__u64 hash;

	if ((const void *)(ports + 2) > f->end || !shared)
		return 0;
	key.ip_proto = ip->protocol;
	if (ntohl(ip->saddr) < ntohl(ip->daddr)) {
		store_v4(key.low, ip->saddr);
		store_v4(key.high, ip->daddr);
		key.low_port = ports[0];
		key.high_port = ports[1];
	} else {
		store_v4(key.low, ip->daddr);
		store_v4(key.high, ip->saddr);
		key.low_port = ports[1];
		key.high_port = ports[0];
	}
	hash = hash_of(&key, shared->secret);
	index = bucket_of(TABLE_MAIN, hash, 0);
	bucket = bucket_at(TABLE_MAIN, index);
	if (!bucket)
		return 0;
	connection = connection_at(TABLE_MAIN, index * WAYS + ((hash >> 60) ^ (READ_ONCE(bucket->tag[0]) & 1)));
	if (!connection)
		return 0;
	connection->packets[0] += READ_ONCE(connection->word) | 1;
	return 1;
}

SEC("xdp.frags")
int floor_xdp(struct xdp_md *ctx)
{
	struct frame f = { .eth = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end };
	__u8 source[ETH_ALEN];

	if ((const void *)(f.eth + 1) > f.end || !touch(&f))
		return XDP_DROP;
	__builtin_memcpy(source, f.eth->h_source, ETH_ALEN);
	__builtin_memcpy(f.eth->h_source, f.eth->h_dest, ETH_ALEN);
	__builtin_memcpy(f.eth->h_dest, source, ETH_ALEN);
	return XDP_TX;
}
