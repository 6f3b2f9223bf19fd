/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What stays on the legs of a director that detached with on_detach = "closed": nothing is forwarded through them any more.
 * It is on them too for the moment in which tables are laid out anew (src/lasthop/dataplane/upgrade).
 * What is for the machine itself goes to it as ever, and so does what it would not forward anyway. The kernel's routing
 * table tells, so this knows addresses that come later too.
 */
#include "kernel.h"
#include "published.h"

/* A leg: an interface, or one VLAN of it. Written by who detached. */
struct closed_leg {
	__u32 ifindex;
	__u16 outer; /* 0: none */
	__u16 inner;
};

struct closed_state {
	__u64 dropped;
	__u64 netns; /* inode number of the network namespace the legs are in */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct closed_leg);
	__type(value, __u32); /* its id */
	__uint(max_entries, MAX_LEGS);
} closed_legs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct closed_state);
	__uint(max_entries, 1);
} closed SEC(".maps");

/* The director's own maps, which stay as they were. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct leg);
	__uint(max_entries, MAX_LEGS);
} legs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct own_mac_key);
	__type(value, __u8);
	__uint(max_entries, MAX_OWN_MACS);
} own_macs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct local_key);
	__type(value, __u8);
	__uint(max_entries, MAX_LOCAL);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} local SEC(".maps");

struct tag_header {
	__be16 tci;
	__be16 type;
};

#define PACKET_HOST 0 /* include/uapi/linux/if_packet.h */
#define VLAN_ID 0x0fff
#define IS_TAG(type) ((type) == htons(ETH_P_8021Q) || (type) == htons(ETH_P_8021AD))

/* A tag more, from the outer inwards; a priority tag is none. */
static __always_inline void note_tag(struct closed_leg *leg, __u16 tci)
{
	if (!leg->outer)
		leg->outer = tci & VLAN_ID;
	else if (!leg->inner)
		leg->inner = tci & VLAN_ID;
}

/* The VLANs of a frame go to `leg`, and the offset of its IP header is returned; `type` is what stands before that. */
static __always_inline __u32 read_tags(struct __sk_buff *skb, struct closed_leg *leg, __be16 *type)
{
	__u32 offset = ETH_HLEN - 2;
	struct tag_header tag;

	if (skb->vlan_present)
		note_tag(leg, skb->vlan_tci);
	for (int i = 0; i < 2; i++) {
		if (bpf_skb_load_bytes(skb, offset, type, sizeof(*type)))
			return 0;
		if (!IS_TAG(*type) || bpf_skb_load_bytes(skb, offset + 2, &tag, sizeof(tag)))
			break;
		note_tag(leg, ntohs(tag.tci));
		offset += sizeof(tag);
		*type = tag.type;
	}
	return offset + 2;
}

/* Whether the kernel takes a frame: the interface's own, or one for a leg's VLAN device or virtual MAC address. */
static __always_inline bool is_ours(struct __sk_buff *skb, __u32 leg_id)
{
	struct own_mac_key key = { .leg = leg_id };
	struct leg *leg = bpf_map_lookup_elem(&legs, &leg_id);

	if (skb->pkt_type == PACKET_HOST)
		return 1;
	if (!leg || bpf_skb_load_bytes(skb, 0, key.mac, ETH_ALEN))
		return 0;
	return (*(__u32 *)key.mac == *(__u32 *)leg->mac && *(__u16 *)(key.mac + 4) == *(__u16 *)(leg->mac + 4)) ||
	       bpf_map_lookup_elem(&own_macs, &key);
}

/* Source and destination of an IP packet, as the routing table is asked for them; `to` is the destination alone. False: none. */
static __always_inline bool read_ends(struct __sk_buff *skb, __u32 offset, __be16 type, struct bpf_fib_lookup *asked,
				      struct local_key *to)
{
	if (type == htons(ETH_P_IP)) {
		asked->family = 2; /* AF_INET */
		if (bpf_skb_load_bytes(skb, offset + __builtin_offsetof(struct iphdr, saddr), &asked->ipv4_src, 4) ||
		    bpf_skb_load_bytes(skb, offset + __builtin_offsetof(struct iphdr, daddr), &asked->ipv4_dst, 4))
			return 0;
		to->address[10] = to->address[11] = 0xff;
		*(__be32 *)(to->address + 12) = asked->ipv4_dst;
		return 1;
	}
	if (type != htons(ETH_P_IPV6))
		return 0;
	asked->family = 10; /* AF_INET6 */
	if (bpf_skb_load_bytes(skb, offset + __builtin_offsetof(struct ipv6hdr, saddr), asked->ipv6_src, 16) ||
	    bpf_skb_load_bytes(skb, offset + __builtin_offsetof(struct ipv6hdr, daddr), asked->ipv6_dst, 16))
		return 0;
	__builtin_memcpy(to->address, asked->ipv6_dst, 16);
	return 1;
}

/*
 * Whether the kernel would forward a packet: what include/uapi/linux/bpf.h says of BPF_FIB_LKUP_RET. The interface is asked;
 * where `other` takes the packet, a VLAN device or a virtual interface, that may forward although the interface does not.
 */
static __always_inline bool would_be_forwarded(struct __sk_buff *skb, __u32 offset, __be16 type, bool other)
{
	struct bpf_fib_lookup asked = { .ifindex = skb->ifindex };
	struct local_key to = { .prefix_length = 128 };
	long result;

	if (!read_ends(skb, offset, type, &asked, &to))
		return 0;
	result = bpf_fib_lookup(skb, &asked, sizeof(asked), 0);
	if (other && result == BPF_FIB_LKUP_RET_FWD_DISABLED)
		return !bpf_map_lookup_elem(&local, &to);
	return result == BPF_FIB_LKUP_RET_SUCCESS || result > BPF_FIB_LKUP_RET_FWD_DISABLED;
}

SEC("tc")
int lh_closed(struct __sk_buff *skb)
{
	struct closed_leg leg = { .ifindex = skb->ifindex };
	struct closed_state *state;
	__u32 zero = 0, offset, *id;
	__be16 type = 0;

	offset = read_tags(skb, &leg, &type);
	id = offset ? bpf_map_lookup_elem(&closed_legs, &leg) : NULL;
	if (!id || !is_ours(skb, *id) ||
	    !would_be_forwarded(skb, offset, type, leg.outer || skb->pkt_type != PACKET_HOST))
		return TC_ACT_UNSPEC;
	state = bpf_map_lookup_elem(&closed, &zero);
	if (state)
		__sync_fetch_and_add(&state->dropped, 1);
	return TC_ACT_SHOT;
}

/* In front of it, in place of a program that would forward. */
SEC("xdp")
int lh_closed_xdp(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
