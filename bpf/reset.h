/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A RST in answer to a TCP packet, made of the packet itself (RFC 9293 section 3.10.7.1), so that it has the one sequence
 * number that its receiver takes at once (RFC 5961 section 3.2). tc only.
 */
#pragma once

#include "parse.h"

struct answer {
	__u16 aligns;
	struct ethhdr eth; /* the frame begins here */
	struct iphdr ip;
	struct tcphdr tcp;
};

#define ANSWER_LENGTH (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define ANSWER_TTL 64
#define CHECK_OFFSET (__builtin_offsetof(struct answer, tcp.check) - __builtin_offsetof(struct answer, eth))

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u32 sum_of(const void *from, __u32 length)
{
	return bpf_csum_diff(0, 0, from, length, 0);
}

/* Headers of the answer to a packet with these headers, `payload` bytes after them; the checksums are left 0. */
static __always_inline void turn_round(struct answer *a, __u32 payload)
{
	__u8 mac[ETH_ALEN];
	__be32 address = a->ip.saddr, acknowledged = a->tcp.ack_seq;
	__be16 port = a->tcp.source;
	bool knows = a->tcp.ack;
	__be32 next = htonl(ntohl(a->tcp.seq) + payload + a->tcp.syn + a->tcp.fin);

	__builtin_memcpy(mac, a->eth.h_source, ETH_ALEN);
	__builtin_memcpy(a->eth.h_source, a->eth.h_dest, ETH_ALEN);
	__builtin_memcpy(a->eth.h_dest, mac, ETH_ALEN);
	a->ip.saddr = a->ip.daddr;
	a->ip.daddr = address;
	a->ip.tos = 0;
	a->ip.tot_len = htons(ANSWER_LENGTH - ETH_HLEN);
	a->ip.id = 0;
	a->ip.frag_off = htons(IP_DONT_FRAGMENT);
	a->ip.ttl = ANSWER_TTL;
	a->ip.check = 0;
	a->tcp.source = a->tcp.dest;
	a->tcp.dest = port;
	a->tcp.seq = knows ? acknowledged : 0;
	a->tcp.ack_seq = knows ? 0 : next;
	/* Data offset and flags. */
	((__u8 *)&a->tcp)[12] = sizeof(struct tcphdr) / 4 << 4;
	((__u8 *)&a->tcp)[13] = knows ? TCP_RST : TCP_RST | TCP_ACK;
	a->tcp.window = 0;
	a->tcp.check = 0;
	a->tcp.urg_ptr = 0;
}

/*
 * Whether the checksum of a packet from this machine is still to be finished (CHECKSUM_PARTIAL). Nothing says so, but a
 * change outside the pseudo-header is left out of such a checksum. Expects it to be 0.
 */
static __always_inline bool unfinished(struct __sk_buff *skb)
{
	__be16 check = 0;

	bpf_l4_csum_replace(skb, CHECK_OFFSET, 0, htons(1), sizeof(check));
	bpf_skb_load_bytes(skb, CHECK_OFFSET, &check, sizeof(check));
	return !check;
}

/* Turn the packet into the answer. The reason that is counted: DROP_DEAD if it cannot be answered. */
static __noinline __u32 answer_reset(struct __sk_buff *skb, __u32 l4_length)
{
	struct answer a;
	__u32 header, pseudo;
	__be16 check;

	if (bpf_skb_load_bytes(skb, 0, &a.eth, ANSWER_LENGTH) || a.ip.ihl * 4 != sizeof(a.ip))
		return DROP_DEAD;
	header = a.tcp.doff * 4;
	turn_round(&a, l4_length > header ? l4_length - header : 0);
	a.ip.check = ~fold(sum_of(&a.ip, sizeof(a.ip)));
	pseudo = sum_of(&a.ip.saddr, 2 * sizeof(a.ip.saddr)) + htons(IPPROTO_TCP) + htons(sizeof(a.tcp));
	if (bpf_skb_change_tail(skb, ANSWER_LENGTH, 0) ||
	    bpf_skb_store_bytes(skb, 0, &a.eth, ANSWER_LENGTH, BPF_F_RECOMPUTE_CSUM))
		return DROP_DEAD;
	pseudo = fold(pseudo);
	check = unfinished(skb) ? pseudo : ~fold(pseudo + fold(sum_of(&a.tcp, sizeof(a.tcp))));
	if (bpf_skb_store_bytes(skb, CHECK_OFFSET, &check, sizeof(check), BPF_F_RECOMPUTE_CSUM))
		return DROP_DEAD;
	return FORWARDED_RESET;
}
