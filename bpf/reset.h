/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * RSTs in answer to a TCP packet, made of the packet itself, so that they have the one sequence number that is taken at
 * once (RFC 5961 section 3.2): back to its sender (RFC 9293 section 3.10.7.1), and of a response on to the originator as
 * well, who may only be listening.
 */
#pragma once

#include "answer.h"
#include "leave.h"

/* Data offset and flags are bit fields in linux/tcp.h. */
static __always_inline void fill_in(struct tcphdr *tcp, __u8 flags)
{
	((__u8 *)tcp)[12] = sizeof(*tcp) / 4 << 4;
	((__u8 *)tcp)[13] = flags;
	tcp->window = 0;
	tcp->check = 0;
	tcp->urg_ptr = 0;
}

/* The header of the RST that answers a packet with `payload` bytes behind its header. */
static __always_inline void make_answer(struct tcphdr *answer, const struct tcphdr *tcp, __u32 payload)
{
	bool knows = tcp->ack;

	answer->source = tcp->dest;
	answer->dest = tcp->source;
	answer->seq = knows ? tcp->ack_seq : 0;
	answer->ack_seq = knows ? 0 : htonl(ntohl(tcp->seq) + payload + tcp->syn + tcp->fin);
	fill_in(answer, knows ? TCP_RST : TCP_RST | TCP_ACK);
}

/* The header of the RST that goes on in a packet's place. */
static __always_inline void make_successor(struct tcphdr *successor, const struct tcphdr *tcp)
{
	*successor = *tcp;
	fill_in(successor, tcp->ack ? TCP_RST | TCP_ACK : TCP_RST);
}

/* Write an IP header and a RST over a packet; the addresses are those of `p` as it came, or turned round. 0, or an error. */
static __noinline long write_rst(struct __sk_buff *skb, const struct packet *p, __u32 offset, struct tcphdr *tcp,
				 bool turned)
{
	bool low = p->from_low ^ turned;
	const __u8 *from = low ? p->key.low : p->key.high, *to = low ? p->key.high : p->key.low;
	__u32 pseudo;

	if (p->family == 4) {
		struct iphdr ip;

		make_ip4(&ip, *(const __be32 *)(from + 12), *(const __be32 *)(to + 12), IPPROTO_TCP, sizeof(*tcp));
		if (bpf_skb_store_bytes(skb, offset, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM))
			return 1;
		pseudo = sum_of(&ip.saddr, 2 * sizeof(ip.saddr), 0);
		offset += sizeof(ip);
	} else {
		struct ipv6hdr ip;

		make_ip6(&ip, (const void *)from, (const void *)to, IPPROTO_TCP, sizeof(*tcp));
		if (bpf_skb_store_bytes(skb, offset, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM))
			return 1;
		pseudo = sum_of(&ip.saddr, 2 * sizeof(ip.saddr), 0);
		offset += sizeof(ip);
	}
	pseudo = fold(pseudo) + htons(IPPROTO_TCP) + htons(sizeof(*tcp));
	tcp->check = p->unfinished ? fold(pseudo) : ~fold(fold(pseudo) + fold(sum_of(tcp, sizeof(*tcp), 0)));
	return bpf_skb_store_bytes(skb, offset, tcp, sizeof(*tcp), BPF_F_RECOMPUTE_CSUM);
}

/*
 * Turn the packet into the answer to it; if p->out says a way on, send that answer and turn the packet into the RST that goes
 * on. The reason that is counted, DROP_DEAD if it cannot be answered; `ifindex` gets where the frame is to leave.
 */
static __noinline __u32 answer_reset(struct __sk_buff *skb, struct frame *f, const struct packet *p, __u32 *ifindex)
{
	__u32 offset = ip_offset(f), payload, headers = l3_length(p);
	__u32 length = p->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	struct packet *kept = keep_packet(p);
	struct tcphdr tcp, rst;

	if (!kept || bpf_skb_load_bytes(skb, offset + headers, &tcp, sizeof(tcp)))
		return DROP_DEAD;
	/* Who finishes a checksum would look for it where options or extension headers had moved it. */
	kept->unfinished = unfinished(skb, offset + headers + __builtin_offsetof(struct tcphdr, check));
	if ((kept->unfinished && headers != length) || bpf_skb_change_tail(skb, offset + length + sizeof(tcp), 0))
		return DROP_DEAD;
	payload = kept->l4_length > tcp.doff * 4 ? kept->l4_length - tcp.doff * 4 : 0;
	make_answer(&rst, &tcp, payload);
	if (write_rst(skb, kept, offset, &rst, 1) || turn_macs(skb))
		return DROP_DEAD;
	*ifindex = skb->ifindex;
	if (!kept->out.target)
		return FORWARDED_RESET;
	bpf_clone_redirect(skb, skb->ifindex, 0);
	make_successor(&rst, &tcp);
	if (write_rst(skb, kept, offset, &rst, 0))
		return DROP_DEAD;
	f->eth = (void *)(long)skb->data;
	f->end = (void *)(long)skb->data_end;
	*ifindex = kept->out.ifindex;
	return readdress_skb(skb, f, &kept->out, FORWARDED_RESET);
}
