/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RSTs in answer to a TCP packet, made of the packet itself, so that they have the one sequence number that is taken at
 * once (RFC 5961 section 3.2): back to its sender (RFC 9293 section 3.10.7.1), and of a response on to the originator as
 * well, who may only be listening. tc only.
 */
#pragma once

#include "packet.h"

struct rst {
	__u16 aligns;
	struct ethhdr eth; /* the frame begins here */
	struct iphdr ip;
	struct tcphdr tcp;
};

#define RST_LENGTH (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define RST_TTL 64
#define CHECK_OFFSET (__builtin_offsetof(struct rst, tcp.check) - __builtin_offsetof(struct rst, eth))

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u32 sum_of(const void *from, __u32 length)
{
	return bpf_csum_diff(0, 0, from, length, 0);
}

/* What is the same in every RST. Sequence number and acknowledgement are set already. */
static __always_inline void fill_in(struct rst *r, __u8 flags)
{
	r->ip.tos = 0;
	r->ip.tot_len = htons(RST_LENGTH - ETH_HLEN);
	r->ip.id = 0;
	r->ip.frag_off = htons(IP_DONT_FRAGMENT);
	r->ip.ttl = RST_TTL;
	r->ip.check = 0;
	r->ip.check = ~fold(sum_of(&r->ip, sizeof(r->ip)));
	/* Data offset and flags. */
	((__u8 *)&r->tcp)[12] = sizeof(struct tcphdr) / 4 << 4;
	((__u8 *)&r->tcp)[13] = flags;
	r->tcp.window = 0;
	r->tcp.check = 0;
	r->tcp.urg_ptr = 0;
}

/* The headers of a packet become those of the answer to it; `payload` bytes were behind them. */
static __always_inline void turn_round(struct rst *r, __u32 payload)
{
	__be32 address = r->ip.saddr, next = htonl(ntohl(r->tcp.seq) + payload + r->tcp.syn + r->tcp.fin);
	__be16 port = r->tcp.source;
	bool knows = r->tcp.ack;
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, r->eth.h_source, ETH_ALEN);
	__builtin_memcpy(r->eth.h_source, r->eth.h_dest, ETH_ALEN);
	__builtin_memcpy(r->eth.h_dest, mac, ETH_ALEN);
	r->ip.saddr = r->ip.daddr;
	r->ip.daddr = address;
	r->tcp.source = r->tcp.dest;
	r->tcp.dest = port;
	r->tcp.seq = knows ? r->tcp.ack_seq : 0;
	r->tcp.ack_seq = knows ? 0 : next;
	fill_in(r, knows ? TCP_RST : TCP_RST | TCP_ACK);
}

/* The headers of a packet become those of a RST that goes on in its place. */
static __always_inline void pass_on(struct rst *r, const struct way_out *out)
{
	*(__u32 *)r->eth.h_dest = (__u32)out->target;
	*(__u16 *)(r->eth.h_dest + 4) = (__u16)(out->target >> 32);
	*(__u32 *)r->eth.h_source = (__u32)out->mac;
	*(__u16 *)(r->eth.h_source + 4) = (__u16)(out->mac >> 32);
	fill_in(r, r->tcp.ack ? TCP_RST | TCP_ACK : TCP_RST);
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

/* Write a RST over the packet. 0, or an error. */
static __always_inline long write_rst(struct __sk_buff *skb, struct rst *r)
{
	__u32 pseudo = sum_of(&r->ip.saddr, 2 * sizeof(r->ip.saddr)) + htons(IPPROTO_TCP) + htons(sizeof(r->tcp));
	__be16 check;

	if (bpf_skb_store_bytes(skb, 0, &r->eth, RST_LENGTH, BPF_F_RECOMPUTE_CSUM))
		return 1;
	check = unfinished(skb) ? fold(pseudo) : ~fold(fold(pseudo) + fold(sum_of(&r->tcp, sizeof(r->tcp))));
	return bpf_skb_store_bytes(skb, CHECK_OFFSET, &check, sizeof(check), BPF_F_RECOMPUTE_CSUM);
}

/*
 * Turn the packet into the answer to it, and send another RST on if p->out says where. The reason that is counted:
 * DROP_DEAD if it cannot be answered.
 */
static __noinline __u32 answer_reset(struct __sk_buff *skb, const struct packet *p)
{
	__u32 header, l4_length = p->l4_length;
	struct rst packet, r;

	if (bpf_skb_load_bytes(skb, 0, &packet.eth, RST_LENGTH) || packet.ip.ihl * 4 != sizeof(packet.ip) ||
	    bpf_skb_change_tail(skb, RST_LENGTH, 0))
		return DROP_DEAD;
	if (p->out.target) {
		r = packet;
		pass_on(&r, &p->out);
		if (!write_rst(skb, &r))
			bpf_clone_redirect(skb, p->out.ifindex, 0);
	}
	header = packet.tcp.doff * 4;
	turn_round(&packet, l4_length > header ? l4_length - header : 0);
	return write_rst(skb, &packet) ? DROP_DEAD : FORWARDED_RESET;
}
